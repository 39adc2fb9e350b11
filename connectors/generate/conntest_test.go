package generate

import (
	"testing"

	"github.com/tapeline/tapeline/connector/conntest"
)

func TestSourceConforms(t *testing.T) {
	conntest.Source(t, conntest.SourceCase{
		Connector: Connector(),
		Config: func(testing.TB) any {
			return &Config{Rows: 500, Seed: 1, Fields: allFields()}
		},
		Blocking: func(testing.TB) any {
			return &Config{Rate: 0.01, Fields: allFields()}
		},
	})
}

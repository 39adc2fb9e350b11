package discard

import (
	"testing"

	"github.com/tapeline/tapeline/connector/conntest"
)

func TestSinkConforms(t *testing.T) {
	conntest.Sink(t, conntest.SinkCase{
		Connector: Connector(),
		Target:    func(testing.TB) conntest.Target { return conntest.Target{Config: &Config{}} },
		Lossy:     true,
	})
}

package app_test

import (
	"strings"
	"testing"

	"github.com/tapeline/tapeline/internal/app"
)

// The workflow that copy prints has variables where passwords and keys were, in each spelling of an
// address; the one it runs has them.
func TestPrintedCopyHasNoSecrets(t *testing.T) {
	parts, err := app.NewParts()
	if err != nil {
		t.Fatal(err)
	}
	const secret = "hunter2"
	for address, set := range map[string]map[string]any{
		"postgres://me:hunter2@host/db?table=t":          nil,
		"mysql://me:hunter2@host/db?table=t":             nil,
		"mysql:me:hunter2@tcp(host:3306)/db?table=t":     nil,
		"postgres:host=h password=hunter2 dbname=d":      {"table": "t"},
		"postgres://me@host/db?table=t&password=hunter2": nil,
		"http://me:hunter2@host/path":                    nil,
		"http://host/path":                               {"headers": map[string]any{"X-Key": secret}},
		"http://host/other":                              {"headers": secret},
		"discard:":                                       {"password": secret, "api_key": secret},
	} {
		request := app.Copy{From: "in.csv", To: address, Set: set}
		printed, err := parts.Printable(request)
		if err != nil {
			continue // an address that no connector takes prints nothing
		}
		if strings.Contains(printed, secret) {
			t.Errorf("%s: the secret is printed:\n%s", address, printed)
		}
		run, err := parts.Document(request)
		if err != nil || !strings.Contains(run, secret) {
			t.Errorf("%s: the workflow that runs lacks the secret: %v\n%s", address, err, run)
		}
	}
	plain, err := parts.Printable(app.Copy{From: "in.csv", To: "postgres://me@host/db?table=t", Where: "price > 1"})
	if err != nil || !strings.Contains(plain, `connection_string: "postgres://me@host/db"`) || strings.Contains(plain, "${") {
		t.Errorf("an address without secrets is not printed as it is: %v\n%s", err, plain)
	}
}

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
	// Addresses with all signs that may stand in a password.
	for _, address := range []string{
		`postgres:host=h password='hun ter2?;,&"@:/x' dbname=d?table=t`,
		`postgres:host=h password = 'hun\'ter2' dbname=d?table=t`,
		`postgres:host=h password=hun\ ter2,x;y&z"q dbname=d?table=t`,
		`postgres:host=h dbname=d password=hunter2://x@y?table=t`,
		"mysql:me:hun ter2'?\"/:x@tcp(host:3306)/db?charset=utf8&table=t",
		"mysql:me:hunter2@unix(/tmp/x.sock)/db?table=t",
		"mysql:me:hunter2@/db?table=t",
		"postgres://me:hun%20ter2%3F%2F%23%25@host/db?table=t",
		"postgres://me:hun'ter2,;=@host/db?table=t",
	} {
		request := app.Copy{From: "in.csv", To: address}
		printed, err := parts.Printable(request)
		if err != nil || strings.Contains(printed, "ter2") || !strings.Contains(printed, "${PASSWORD}") ||
			!strings.Contains(printed, `table: "t"`) {
			t.Errorf("%s: %v\n%s", address, err, printed)
		}
		run, err := parts.Document(request)
		if err != nil || !strings.Contains(run, "ter2") {
			t.Errorf("%s: the workflow that runs lacks the secret: %v\n%s", address, err, run)
		}
	}
	// What is no address is refused without a letter of the password.
	for _, address := range []string{
		"postgres://me:hun ter2@host/db", "postgres://me:hun/ter2@host/db", "postgres://me:1#ter2@host/db",
		"postgres://me:1/ter2@host/db", "postgres://me:1?ter2@host/db", "postgres://me:%ter2@host/db",
		"nothing://me:hun/ter2@host/db", "me:hun ter2@tcp(h)/db", "host=h password=hun ter2 x dbname=d",
	} {
		_, err := parts.Printable(app.Copy{From: "in.csv", To: address})
		if err == nil || strings.Contains(err.Error(), "ter2") || strings.Contains(err.Error(), "hun") {
			t.Errorf("%s: got %v, want an error without the password", address, err)
		}
	}
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

package baostock

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapeline/tapeline/connector"
)

// Places of an answer's fields. Behind data stand the echoed arguments and FIELDS, which k-data has in
// the place of its second argument.
const (
	fieldStatus = iota
	fieldMessage
	fieldMethod
	fieldUser
	fieldPage
	fieldPerPage
	fieldData
	fieldEcho
)

// answer is one page of a query's result. Its texts lie in the frame's body.
type answer struct {
	page    int
	perPage int
	data    []byte   // {"record":[...]}, or empty: no rows
	fields  []string // names of the columns
}

// parseAnswer reads the body of a successful answer to the query of a page, or its error.
func parseAnswer(q Query, args []string, page int, f frame) (answer, error) {
	parts := bytes.Split(f.body, []byte{separator})
	if err := serviceError(operation(q, args), parts); err != nil {
		return answer{}, err
	}
	wrong := func(format string, args ...any) (answer, error) {
		return answer{}, fmt.Errorf("%w: %s", errFrame, fmt.Sprintf(format, args...))
	}
	want := fieldEcho + len(args) + 1
	columns := want - 1
	if q == KData {
		want, columns = fieldEcho+len(args), fieldEcho+1
	}
	switch {
	case !q.answers(f.typ):
		return wrong("type %02d answers %s, type %02d", f.typ, q, kinds[q].typ)
	case len(parts) < want:
		return wrong("%d parts, want %d", len(parts), want)
	case string(parts[fieldMethod]) != q.String():
		return wrong("it is one of %q", clip(parts[fieldMethod]))
	case len(args) > 0 && kinds[q].args[0] == "code" && string(parts[fieldEcho]) != args[0]:
		return wrong("it is about %q, want %q", clip(parts[fieldEcho]), args[0])
	}
	var a answer
	var okPage, okPer bool
	a.page, okPage = digits(parts[fieldPage])
	a.perPage, okPer = digits(parts[fieldPerPage])
	if !okPage || !okPer || a.perPage == 0 {
		return wrong("page %q of %q rows", clip(parts[fieldPage]), clip(parts[fieldPerPage]))
	}
	if a.page != page {
		return wrong("page %d, want %d", a.page, page)
	}
	a.data = parts[fieldData]
	for name := range strings.SplitSeq(string(parts[columns]), ",") {
		name = strings.TrimSpace(name) // some lists have blanks and tabs
		if slices.Contains(a.fields, name) {
			return wrong("column %q twice", name)
		}
		a.fields = append(a.fields, name)
	}
	return a, nil
}

// serviceError returns the error that the parts of a body spell, nil for success.
func serviceError(op string, parts [][]byte) error {
	code := string(parts[fieldStatus])
	if code == "0" {
		return nil
	}
	if _, ok := digits(parts[0]); !ok || len(parts) < 2 {
		return fmt.Errorf("%w: status %q", errFrame, clip(parts[0]))
	}
	e := &connector.Error{
		Op: op, Class: classOf(code), Code: Name + "_" + code,
		Err: fmt.Errorf("%s %s", code, clip(parts[fieldMessage])), Hint: hints[code],
	}
	if e.Class == connector.Throttled {
		e.After = throttleWait
	}
	return e
}

// Codes that decide more than a class.
const (
	codeNotLoggedIn = "10001001"
	codeVersion     = "10001004"
	codeLoginCount  = "10001005"
	codeBlacklisted = "10001011"
	codeRightless   = "10001006"
)

// throttleWait is how long one waits for other sessions of the address to end.
const throttleWait = time.Minute

var hints = map[string]string{
	codeVersion: "the client version has expired: set version to that of the current Python client, as " +
		"its constant BAOSTOCK_CLIENT_VERSION says",
	codeLoginCount: "too many sessions of this address: use one process per address",
	"10001002":     "check user and password",
	"10004020":     "the service has retired this query",
}

// classOf returns what can be done about an error code.
func classOf(code string) connector.Class {
	switch code {
	case codeNotLoggedIn, "10004001", "10004002", "10004003":
		return connector.Transient
	case codeLoginCount:
		return connector.Throttled
	case codeVersion, codeBlacklisted:
		return connector.Permanent
	}
	switch {
	case strings.HasPrefix(code, "10001"):
		return connector.Auth
	case strings.HasPrefix(code, "10002"), strings.HasPrefix(code, "10005"):
		return connector.Transient
	}
	return connector.Permanent
}

// refusesArguments reports whether a code says that this one question cannot be answered, while
// others can.
func refusesArguments(code string) bool {
	n, err := strconv.Atoi(strings.TrimPrefix(code, Name+"_"))
	return err == nil && (n >= 10004004 && n <= 10004018)
}

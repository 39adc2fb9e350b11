package tushare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/provider"
)

// api asks the service.
type api struct{ client *provider.Client }

// question is the body of a request.
type question struct {
	Name   string         `json:"api_name"`
	Token  string         `json:"token"`
	Params map[string]any `json:"params"`
	Fields string         `json:"fields"`
}

// record is one row of an answer: the cells of the fields asked for, in their order, and all of its text.
type record struct {
	cells [][]byte
	raw   provider.Value
}

// page asks for rows from an offset on, and returns them and whether more follow for sure.
func (a *api) page(ctx context.Context, name, fields string, params map[string]any, offset int) (list []record, more bool, err error) {
	all := map[string]any{"offset": offset, "limit": pageRows}
	maps.Copy(all, params)
	body, err := json.Marshal(question{name, a.client.Settings().Token, all, fields})
	if err != nil {
		return nil, false, err
	}
	document, err := a.client.JSON(ctx, provider.Request{
		Place: place(name, params, offset), Path: "/", Body: body,
		Header: http.Header{"Content-Type": {"application/json"}},
	})
	if err != nil {
		return nil, false, err
	}
	list, err = table(name, document.Member("data"), strings.Split(fields, ","))
	return list, string(document.Member("data").Member("has_more").Text()) == "true", err
}

// place names a question: "daily trade_date=20240102 offset 5000".
func place(name string, params map[string]any, offset int) string {
	var parts []string
	for key, value := range params {
		parts = append(parts, fmt.Sprintf("%s=%v", key, value))
	}
	slices.Sort(parts)
	text := strings.Join(append([]string{name}, parts...), " ")
	if offset > 0 {
		text += fmt.Sprintf(" offset %d", offset)
	}
	return text
}

// all asks for all pages and hands each row to add. The last page is one that is not full; exhaust asks
// until one is empty, whatever the pages hold.
func (a *api) all(
	ctx context.Context, name, fields string, params map[string]any, exhaust bool, add func(place string, r record) error,
) error {
	first := "" // row of the page before
	for offset := 0; ; {
		list, more, err := a.page(ctx, name, fields, params, offset)
		if err != nil {
			return err
		}
		if len(list) > 0 {
			if offset > 0 && string(list[0].raw) == first {
				return &connector.Error{
					Op: "ask " + Name, Class: connector.Permanent, Code: Name + "_no_offset",
					Err: fmt.Errorf("%s: the page begins as the one before: the service does not heed offset", place(name, params, offset)),
				}
			}
			first = string(list[0].raw)
		}
		at := place(name, params, offset)
		for _, r := range list {
			if err := add(at, r); err != nil {
				return err
			}
		}
		offset += len(list)
		if len(list) == 0 || !exhaust && !more && len(list) < pageRows {
			return nil
		}
	}
}

// table finds the wanted fields among those of the answer: their order is the service's own.
func table(name string, data provider.Value, wanted []string) ([]record, error) {
	var fields []string
	for field := range data.Member("fields").Elements() {
		fields = append(fields, string(field.Text()))
	}
	at := make([]int, len(wanted))
	for i, field := range wanted {
		if at[i] = slices.Index(fields, field); at[i] < 0 {
			return nil, &connector.Error{
				Op: "read an answer of " + Name, Class: connector.Schema, Code: Name + "_no_field",
				Err: fmt.Errorf("%s has no field %s, only %s", name, field, strings.Join(fields, ", ")),
			}
		}
	}
	var list []record
	for item := range data.Member("items").Elements() {
		cells := item.Cells(make([][]byte, 0, len(fields)))
		r := record{raw: item}
		if len(cells) == len(fields) {
			for _, i := range at {
				r.cells = append(r.cells, cells[i])
			}
		}
		list = append(list, r) // a row of another length is refused by its number of cells
	}
	return list, nil
}

// minuteWait is how long a limit of a minute is waited out, several times if need be: the service does
// not say when its minute ends.
const minuteWait = 20 * time.Second

// classify finds errors, which come with status 200 and a text.
func classify(a *provider.Answer) error {
	if a.Status/100 != 2 {
		return nil
	}
	document, err := provider.Document(a.Body)
	if err != nil {
		return err
	}
	code, ok := document.Member("code").Int()
	if ok && code == 0 {
		return nil
	}
	text := string(document.Member("msg").Text())
	failure := func(class connector.Class, name, hint string) *connector.Error {
		return &connector.Error{
			Op: "ask " + Name, Class: class, Code: Name + "_" + name, Hint: hint,
			Err: fmt.Errorf("code %s: %s", document.Member("code").Text(), text),
		}
	}
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(text, part) })
	}
	const noParameter = -2001
	switch {
	case !ok:
		return failure(connector.Transient, "malformed", "the answer has no code")
	case has("每分钟最多访问"):
		limited := failure(connector.Throttled, "limit", "lower requests_per_second")
		limited.After = minuteWait
		return limited
	case has("每小时最多访问"):
		return &provider.BanError{For: time.Hour, Err: errors.New(text)}
	case has("每天最多访问", "每日最多访问", "IP数量超限", "ip数量超限"):
		return &provider.BanError{Err: errors.New(text)}
	case has("token"):
		return failure(connector.Auth, "token", "check the token, TUSHARE_TOKEN for a sync")
	case code == 2002 || has("权限"):
		return failure(connector.Auth, "no_permission", "the account has too few points for this table")
	case code == noParameter || has("参数校验失败", "必填参数"):
		refused := failure(connector.Permanent, "refused", "")
		return &provider.RefusalError{Rule: refused.Code, Err: refused}
	}
	return failure(connector.Transient, "failed", "")
}

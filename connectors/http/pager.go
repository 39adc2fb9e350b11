package http

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/httpkit"
)

const positionVersion = 1

// position names the page to read next and the rows of it that were handed over.
type position struct {
	Version int    `json:"v"`
	Run     string `json:"run,omitempty"`
	Pages   int64  `json:"pages"`            // read whole in this reading
	Records int64  `json:"records"`          // in them, rejected ones too
	Next    string `json:"next,omitempty"`   // token or URL of the page; "" is the first
	Skip    int    `json:"skip,omitempty"`   // rows of the page that were handed over
	Since   string `json:"since,omitempty"`  // in the requests of this reading
	High    string `json:"high,omitempty"`   // greatest value of the pages read
	Done    bool   `json:"done,omitempty"`   // no page follows in this reading
	Served  uint64 `json:"served,omitempty"` // server: requests handed over
}

func parsePosition(p connector.Position) (position, error) {
	var out position
	if err := stdjson.Unmarshal(p, &out); err != nil {
		return out, fmt.Errorf("position %q: %w", []byte(p), err)
	}
	if out.Version != positionVersion {
		return out, fmt.Errorf("position of version %d, this connector has %d",
			out.Version, positionVersion)
	}
	return out, nil
}

func (p position) encode() connector.Position {
	p.Version = positionVersion
	text, _ := stdjson.Marshal(p) // plain members always marshal
	return text
}

// again is the position of the next reading of all pages: only what is new, where that is known.
func (p position) again(keep bool) position {
	next := position{Run: p.Run, Since: p.High, High: p.High}
	if keep {
		next.Next = p.Next
	}
	return next
}

// names are what templates may hold.
func names() []string { return []string{"since", "page", "offset", "cursor", "size"} }

// templates returns the texts that may hold ${name}.
func (c *SourceConfig) templates() []string {
	out := []string{c.URL, c.Body}
	for _, value := range c.Query {
		out = append(out, value)
	}
	for _, value := range c.Headers {
		out = append(out, value)
	}
	return out
}

func (c *SourceConfig) mentions(name string) bool {
	return slices.ContainsFunc(c.templates(), func(text string) bool {
		return strings.Contains(text, "${"+name+"}")
	})
}

func checkTemplate(text string) error {
	_, err := expand(text, func(string) string { return "" })
	return err
}

// expand replaces each ${name} by its value.
func expand(text string, value func(name string) string) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed || !slices.Contains(names(), name) {
			return "", fmt.Errorf("${%s: want one of %s in braces", cutText(name), strings.Join(names(), ", "))
		}
		out.WriteString(value(name))
		text = after
	}
}

func cutText(text string) string {
	const shown = 20
	if len(text) > shown {
		return text[:shown] + "..."
	}
	return text
}

// pager builds the request of a position and finds the position after its answer.
type pager struct {
	cfg  *SourceConfig
	base *url.URL
}

// values returns what ${name} stands for at a position.
func (g *pager) values(p position) func(name string) string {
	return func(name string) string {
		switch name {
		case "since":
			return p.Since
		case "page":
			return strconv.FormatInt(g.cfg.Pagination.Start+p.Pages, 10)
		case "offset":
			return strconv.FormatInt(p.Records, 10)
		case "cursor":
			return p.Next
		}
		return strconv.Itoa(g.cfg.Pagination.Size)
	}
}

// request builds the request of a position. Templates were checked with the configuration.
func (g *pager) request(p position) request {
	value := g.values(p)
	quoted := func(name string) string {
		text := string(batch.AppendJSONString(nil, value(name)))
		return text[1 : len(text)-1]
	}
	r := request{headers: map[string]string{}}
	if g.cfg.Body != "" {
		text, _ := expand(g.cfg.Body, quoted)
		r.body = []byte(text)
		r.headers["Content-Type"] = "application/json"
	}
	for name, text := range g.cfg.Headers {
		r.headers[name], _ = expand(text, value)
	}
	if g.cfg.Pagination.Type == "link" && p.Next != "" {
		r.url = p.Next
		return r
	}
	text, _ := expand(g.cfg.URL, func(name string) string { return url.QueryEscape(value(name)) })
	r.url = g.addQuery(text, p, value)
	return r
}

// addQuery adds the configured parameters and those of the position that no template names.
func (g *pager) addQuery(text string, p position, value func(string) string) string {
	parsed, err := url.Parse(text)
	if err != nil {
		return text // the client says so
	}
	query := parsed.Query()
	before := len(query)
	for name, template := range g.cfg.Query {
		expanded, _ := expand(template, value)
		query.Set(name, expanded)
	}
	page := g.cfg.Pagination
	// A parameter that is configured is sent; the usual one only where no template has the value.
	set := func(parameter, usual, name string, wanted bool) {
		if parameter == "" && !g.cfg.mentions(name) {
			parameter = usual
		}
		if wanted && parameter != "" {
			query.Set(parameter, value(name))
		}
	}
	switch page.Type {
	case "page", "offset":
		set(page.Param, page.Type, page.Type, true)
	case "cursor":
		set(page.Param, page.Type, page.Type, p.Next != "")
	}
	sizeParameter := "limit"
	if page.Type == "page" {
		sizeParameter = "per_page"
	}
	set(page.SizeParam, sizeParameter, "size", page.Size > 0)
	set(g.cfg.Incremental.Param, "", "since", p.Since != "")
	if len(query) > before {
		parsed.RawQuery = query.Encode()
	}
	return parsed.String()
}

// next returns the position after a page with so many records.
func (g *pager) next(p position, a *answer, records int) (position, error) {
	page := g.cfg.Pagination
	next := p
	next.Skip = 0
	next.Pages, next.Records = p.Pages+1, p.Records+int64(records)
	switch page.Type {
	case "page", "offset":
		next.Done = records == 0
	case "link", "cursor":
		token, err := g.token(a)
		if err != nil {
			return p, err
		}
		same := token == p.Next && token != ""
		if same && !page.Keep {
			return p, errors.New("the page names itself as the next one")
		}
		next.Done = token == "" || page.Keep && (same || records == 0)
		if token != "" || !page.Keep {
			next.Next = token
		}
	default:
		next.Done = true
	}
	if page.MaxPages > 0 && next.Pages >= page.MaxPages && !next.Done {
		return p, fmt.Errorf("another page follows page %d: raise pagination.max_pages", next.Pages)
	}
	return next, nil
}

// token returns the token or URL of the page after an answer, "" for none.
func (g *pager) token(a *answer) (string, error) {
	page := g.cfg.Pagination
	text := ""
	switch {
	case page.NextHeader != "":
		text = a.header.Get(page.NextHeader)
	case page.Next != "":
		value, found := lookup(a.body, page.Next)
		if !found {
			return "", nil
		}
		var err error
		if text, err = tokenText(value); err != nil {
			return "", fmt.Errorf("%s: %w", page.Next, err)
		}
	default:
		text = linkNext(a.header.Values("Link"))
	}
	if page.Type == "cursor" || text == "" {
		return text, nil
	}
	link, err := a.url.Parse(text)
	if err != nil {
		return "", errors.New("the link to the next page is no URL")
	}
	if !httpkit.SameOrigin(link, g.base) {
		return "", fmt.Errorf("the next page is at %s, beyond %s: credentials do not go there",
			httpkit.Place(link), g.base.Host)
	}
	return link.String(), nil
}

// tokenText reads a JSON value as a token: null, false and "" are none.
func tokenText(value []byte) (string, error) {
	switch value[0] {
	case 'n', 'f':
		return "", nil
	case '"':
		var text string
		err := stdjson.Unmarshal(value, &text)
		return text, err
	case '{', '[', 't':
		return "", errors.New("neither text nor a number")
	}
	return string(value), nil
}

// linkNext returns the target of rel=next in Link headers (RFC 8288).
func linkNext(headers []string) string {
	for _, header := range headers {
		for header != "" {
			_, rest, found := strings.Cut(header, "<")
			target, after, closed := strings.Cut(rest, ">")
			if !found || !closed {
				break
			}
			parameters, others, _ := strings.Cut(after, "<")
			if relNext(parameters) {
				return target
			}
			header = ""
			if others != "" {
				header = "<" + others
			}
		}
	}
	return ""
}

// relNext reports whether link parameters name the relation next.
func relNext(parameters string) bool {
	for _, parameter := range strings.FieldsFunc(parameters, func(r rune) bool { return r == ';' || r == ',' }) {
		name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		if !strings.EqualFold(strings.TrimSpace(name), "rel") {
			continue
		}
		if slices.Contains(strings.Fields(strings.ToLower(strings.Trim(value, `" `))), "next") {
			return true
		}
	}
	return false
}

// lookup returns the value at a path of members such as $.data.next.
func lookup(body []byte, path string) (value []byte, found bool) {
	path = strings.TrimPrefix(strings.TrimPrefix(path, "$"), ".")
	value = body
	for path != "" {
		var name string
		name, path, _ = strings.Cut(path, ".")
		var members map[string]stdjson.RawMessage
		if stdjson.Unmarshal(value, &members) != nil {
			return nil, false
		}
		if value, found = members[name]; !found {
			return nil, false
		}
	}
	return value, len(value) > 0
}

// greater reports whether a value of the incremental column is above another: as numbers where
// both are, else as text.
func greater(a, b string) bool {
	if b == "" {
		return a != ""
	}
	x, okX := batch.ParseDecimal([]byte(a), 38, 10)
	y, okY := batch.ParseDecimal([]byte(b), 38, 10)
	if okX && okY {
		return x.Cmp(y) > 0
	}
	if v, ok := batch.ParseFloat([]byte(a)); ok {
		if w, ok := batch.ParseFloat([]byte(b)); ok {
			return v > w
		}
	}
	return a > b
}

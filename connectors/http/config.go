package http

import (
	"errors"
	"fmt"
	"net"
	nethttp "net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/tapeline/tapeline/batch"
	codec "github.com/tapeline/tapeline/codec/json"
	"github.com/tapeline/tapeline/connector"
)

// ClientConfig is how requests are made.
type ClientConfig struct {
	URL          string            `yaml:"url" doc:"address, http or https" example:"https://api.example.com/v1/orders"`
	Method       string            `yaml:"method" enum:"GET,POST,PUT,PATCH" doc:"request method. Default GET for sources, POST for sinks"`
	Headers      map[string]string `yaml:"headers" secret:"true" doc:"request headers; sent to the origin of url only"`
	Auth         AuthConfig        `yaml:"auth" doc:"credentials; sent to the origin of url only"`
	Timeout      time.Duration     `yaml:"timeout" doc:"longest time of one request, its body included; at least 1ms. Default 30s"`
	MaxBodyBytes connector.Size    `yaml:"max_body_bytes" doc:"longest response or webhook body, decompressed; a longer one is refused. Default 64MB, webhooks 1MB"`
	RateLimit    float64           `yaml:"rate_limit" doc:"requests per second; 0 is no limit. Default 0"`
}

// AuthConfig holds at most one kind of credentials.
type AuthConfig struct {
	Bearer   string `yaml:"bearer" secret:"true" doc:"token of the Authorization header"`
	Username string `yaml:"username" doc:"basic authentication"`
	Password string `yaml:"password" secret:"true" doc:"basic authentication"`
	Header   string `yaml:"header" doc:"name of an API key's header" example:"X-API-Key"`
	Key      string `yaml:"key" secret:"true" doc:"the API key"`
}

// SourceConfig is the configuration of an http source: a client with url, a server with listen.
type SourceConfig struct {
	ClientConfig

	Query map[string]string `yaml:"query" secret:"true" doc:"query parameters added to url"`
	Body  string            `yaml:"body" doc:"request body; JSON unless headers say otherwise"`

	Format     string       `yaml:"format" enum:"json,ndjson,csv,lines" doc:"how bodies spell records; json is an array, one object or several values. Default json"`
	Records    string       `yaml:"records" doc:"json: path of the array of records in the body; null there is no records" example:"$.data.items"`
	Delimiter  string       `yaml:"delimiter" doc:"csv: text between cells. Default ,"`
	Header     bool         `yaml:"header" doc:"csv: whether the first record of a body names the columns. Default true"`
	Column     string       `yaml:"column" doc:"lines: column of the line. Default line"`
	Schema     SchemaConfig `yaml:"schema" doc:"json, csv: declared columns; without them they are inferred from the first body that has records"`
	SampleRows int          `yaml:"sample_rows" doc:"records that inference looks at, 1 to 1000000. Default 1000"`
	Extra      string       `yaml:"extra" enum:"evolve,ignore,error,capture" doc:"json: members that the schema does not have. Default evolve, or ignore with a declared schema"`

	Pagination  PaginationConfig  `yaml:"pagination" doc:"how one page leads to the next"`
	Incremental IncrementalConfig `yaml:"incremental" doc:"ask only for what is new since the last poll or run"`
	Poll        time.Duration     `yaml:"poll" doc:"wait between two readings of all pages; 0 reads once. Default 0"`

	Listen    string        `yaml:"listen" doc:"address of a webhook server, instead of url; port 0 is any free one" example:"127.0.0.1:8080"`
	Path      string        `yaml:"path" doc:"server: path that is served. Default /"`
	Token     string        `yaml:"token" secret:"true" doc:"server: bearer token that requests carry"`
	Anonymous bool          `yaml:"anonymous" doc:"server: allow requests without token on addresses beyond loopback. Default false"`
	Queue     int           `yaml:"queue" doc:"server: requests that may wait for their reply or to be read, 1 to 1000000; more are answered with 429. Default 1000"`
	Reply     string        `yaml:"reply" enum:"committed,accepted" doc:"server: answer 200 once the rows are committed at every sink, or 202 at once, before they are safe. Default committed"`
	ReplyWait time.Duration `yaml:"reply_wait" doc:"server: longest wait for the commit; then 503, though the rows may be committed later. Default 60s"`
}

// SchemaConfig declares columns.
type SchemaConfig struct {
	Columns []ColumnConfig `yaml:"columns" doc:"name to type, in order" example:"{id: int64, price: \"decimal(12,4)\"}"`
}

// ColumnConfig declares one column.
type ColumnConfig struct {
	Name string `yaml:",key"`
	Type string `yaml:",value"`
}

// PaginationConfig says where the next page is.
type PaginationConfig struct {
	Type       string `yaml:"type" enum:"none,page,offset,link,cursor" doc:"page counts pages and offset records, both to the first page without records; link follows a URL, cursor a token, both to the page without one. Default none"`
	Param      string `yaml:"param" doc:"query parameter of page, offset or cursor. Default the type's name"`
	Start      int64  `yaml:"start" doc:"page: number of the first page. Default 1"`
	Size       int    `yaml:"size" doc:"records asked for per page; 0 does not ask. Default 0"`
	SizeParam  string `yaml:"size_param" doc:"query parameter of size. Default per_page for page, limit for others"`
	Next       string `yaml:"next" doc:"link, cursor: path of the next URL or token in the body. Default for link: the Link header with rel=next" example:"$.meta.next"`
	NextHeader string `yaml:"next_header" doc:"cursor: response header with the token, instead of next"`
	Keep       bool   `yaml:"keep" doc:"cursor: an endless feed; the next poll or run continues at the last token, and a page without records or with the same token ends the reading. Default false"`
	MaxPages   int64  `yaml:"max_pages" doc:"pages of one reading; more are an error; 0 is no limit. Default 0"`
}

// IncrementalConfig says how to ask for new records.
type IncrementalConfig struct {
	Param        string `yaml:"param" doc:"query parameter that gets the greatest value of field read so far. Default none: write it as since in url, query or body"`
	Field        string `yaml:"field" doc:"column whose greatest value is kept: as numbers where both are, else as text" example:"updated_at"`
	InitialValue string `yaml:"initial_value" doc:"value of the first request; empty sends no parameter. Default empty"`
}

// SinkConfig is the configuration of an http sink.
type SinkConfig struct {
	ClientConfig

	Format      string `yaml:"format" enum:"ndjson,json,csv" doc:"how bodies spell rows; json is one array. Default ndjson"`
	BatchSize   int    `yaml:"batch_size" doc:"rows per request, 1 to 1000000. Default 1000"`
	Delimiter   string `yaml:"delimiter" doc:"csv: text between cells. Default ,"`
	Header      bool   `yaml:"header" doc:"csv: begin each body with the column names. Default true"`
	OmitNull    bool   `yaml:"omit_null" doc:"json, ndjson: leave members that are null out. Default false"`
	Errors      string `yaml:"errors" doc:"path of the array of row results in a 207 answer: {index, status, error} each, or one a row. Default the body or its member errors, items or results" example:"$.errors"`
	Idempotency string `yaml:"idempotency_header" doc:"header with a key that a repeated request has again; - for none. Default Idempotency-Key"`
}

const (
	defaultTimeout     = 30 * time.Second
	defaultPageBytes   = 64 << 20
	defaultHookBytes   = 1 << 20
	defaultSampleRows  = 1000
	defaultQueue       = 1000
	defaultReplyWait   = time.Minute
	defaultRequestRows = 1000
)

// Connector describes the http source and sink.
func Connector() connector.Connector {
	source := SourceConfig{
		ClientConfig: ClientConfig{Timeout: defaultTimeout},
		Format:       "json", Delimiter: ",", Header: true, Column: "line",
		SampleRows: defaultSampleRows, Pagination: PaginationConfig{Start: 1}, Path: "/",
		Queue: defaultQueue, Reply: "committed", ReplyWait: defaultReplyWait,
	}
	sink := SinkConfig{
		ClientConfig: ClientConfig{Timeout: defaultTimeout},
		Format:       "ndjson", BatchSize: defaultRequestRows, Delimiter: ",", Header: true,
		Idempotency: "Idempotency-Key",
	}
	return connector.Connector{
		Name:     "http",
		Version:  "1.0.0",
		Contract: connector.ContractVersion,
		Summary:  "HTTP: paged and polled APIs, webhooks, and batches posted to a URL.",
		Doc:      doc,
		Schemes:  []string{"http", "https"},
		FromURL:  fromURL,
		Source: connector.NewSource(source, connector.SourceCapabilities{
			Bounded: true, Resumable: true, Incremental: true,
		}, newSource),
		Sink: connector.NewSink(sink, connector.SinkCapabilities{
			Parallel: true, Selection: true,
			PreferredRows: defaultRequestRows, MaxRows: defaultRequestRows,
		}, newSink),
	}
}

func newSource(env connector.Env, cfg *SourceConfig) (connector.Source, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Listen != "" {
		return newReceiver(env, cfg)
	}
	return newPoller(env, cfg)
}

// fromURL guesses the format from the path's suffix.
func fromURL(text string) (map[string]any, error) {
	parsed, err := url.Parse(text)
	if err != nil || parsed.Host == "" {
		return nil, errors.New("not an http:// or https:// URL")
	}
	config := map[string]any{"url": text}
	switch path.Ext(parsed.Path) {
	case ".csv":
		config["format"] = "csv"
	case ".ndjson", ".jsonl":
		config["format"] = "ndjson"
	case ".txt", ".log":
		config["format"] = "lines"
	}
	return config, nil
}

func problem(op string, problems []error) error {
	if len(problems) == 0 {
		return nil
	}
	return &connector.Error{Op: op, Class: connector.Permanent, Err: errors.Join(problems...)}
}

// validate returns what is wrong with how requests are made.
func (c *ClientConfig) validate() []error {
	var problems []error
	parsed, err := url.Parse(c.URL)
	if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
		problems = append(problems, errors.New("url: want http://host/path or https://host/path"))
	}
	if methods := []string{"", "GET", "POST", "PUT", "PATCH"}; !slices.Contains(methods, c.Method) {
		problems = append(problems, fmt.Errorf("method: %q is none of GET, POST, PUT, PATCH", c.Method))
	}
	for name, value := range c.Headers {
		if !validHeader(name, value) {
			problems = append(problems, fmt.Errorf("headers.%s: not a header", name))
		}
	}
	kinds := 0
	for _, set := range []bool{c.Auth.Bearer != "", c.Auth.Username != "", c.Auth.Header != ""} {
		if set {
			kinds++
		}
	}
	if kinds > 1 {
		problems = append(problems, errors.New("auth: want one of bearer, username and header"))
	}
	if (c.Auth.Header == "") != (c.Auth.Key == "") || c.Auth.Header != "" && !validHeader(c.Auth.Header, c.Auth.Key) {
		problems = append(problems, errors.New("auth: header and key belong together"))
	}
	if c.Timeout < time.Millisecond {
		problems = append(problems, fmt.Errorf("timeout: %v is below 1ms", c.Timeout))
	}
	if c.MaxBodyBytes < 0 || c.RateLimit < 0 {
		problems = append(problems, errors.New("max_body_bytes and rate_limit must not be negative"))
	}
	return problems
}

func validHeader(name, value string) bool {
	return name != "" && !strings.ContainsAny(name, " \t\r\n:") && !strings.ContainsAny(value, "\r\n\x00")
}

func (c *SourceConfig) validate() error {
	const op = "configure http source"
	problems := c.validateFormat()
	switch {
	case c.Listen != "" && c.URL != "":
		problems = append(problems, errors.New("url and listen exclude each other"))
	case c.Listen != "":
		problems = append(problems, c.validateServer()...)
	default:
		problems = append(problems, c.ClientConfig.validate()...)
		problems = append(problems, c.validatePages()...)
	}
	return problem(op, problems)
}

func (c *SourceConfig) validateFormat() []error {
	var problems []error
	if !slices.Contains([]string{"json", "ndjson", "csv", "lines"}, c.Format) {
		problems = append(problems, fmt.Errorf("format: %q is none of json, ndjson, csv, lines", c.Format))
	}
	if c.Records != "" && c.Format != "json" {
		problems = append(problems, fmt.Errorf("records: needs format json, not %s", c.Format))
	}
	if c.SampleRows < 1 || c.SampleRows > 1_000_000 {
		problems = append(problems, fmt.Errorf("sample_rows: %d is not between 1 and 1000000", c.SampleRows))
	}
	if _, err := c.schema(); err != nil {
		problems = append(problems, err)
	}
	if _, err := c.extra(); err != nil {
		problems = append(problems, fmt.Errorf("extra: %w", err))
	}
	return problems
}

func (c *SourceConfig) validatePages() []error {
	var problems []error
	p := c.Pagination
	switch p.Type {
	case "", "none", "page", "offset":
	case "link":
		if c.Format != "json" && p.Next != "" {
			problems = append(problems, errors.New("pagination.next: needs format json"))
		}
	case "cursor":
		if (p.Next == "") == (p.NextHeader == "") || p.Next != "" && c.Format != "json" {
			problems = append(problems,
				errors.New("pagination: cursor needs next, in bodies of format json, or next_header"))
		}
	default:
		problems = append(problems,
			fmt.Errorf("pagination.type: %q is none of none, page, offset, link, cursor", p.Type))
	}
	if p.Keep && p.Type != "cursor" {
		problems = append(problems, errors.New("pagination.keep: needs type cursor"))
	}
	if p.Size < 0 || p.MaxPages < 0 || c.Poll < 0 {
		problems = append(problems, errors.New("pagination.size, max_pages and poll must not be negative"))
	}
	i := c.Incremental
	if i.Field == "" && (i.Param != "" || i.InitialValue != "") {
		problems = append(problems, errors.New("incremental.field: missing"))
	}
	if i.Field != "" && i.Param == "" && !c.mentions("since") {
		problems = append(problems, errors.New("incremental.param: missing, and no ${since} is used"))
	}
	for _, text := range c.templates() {
		if err := checkTemplate(text); err != nil {
			problems = append(problems, err)
		}
	}
	return problems
}

func (c *SourceConfig) validateServer() []error {
	var problems []error
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		problems = append(problems, errors.New("listen: want host:port"))
	}
	if ip := net.ParseIP(host); err == nil && host != "localhost" && (ip == nil || !ip.IsLoopback()) &&
		c.Token == "" && !c.Anonymous {
		problems = append(problems,
			errors.New("token: needed to listen beyond loopback, or say anonymous: true"))
	}
	if !strings.HasPrefix(c.Path, "/") {
		problems = append(problems, fmt.Errorf("path: %q does not begin with /", c.Path))
	}
	if c.Queue < 1 || c.Queue > 1_000_000 {
		problems = append(problems, fmt.Errorf("queue: %d is not between 1 and 1000000", c.Queue))
	}
	if c.Reply != "committed" && c.Reply != "accepted" {
		problems = append(problems, fmt.Errorf("reply: %q is none of committed, accepted", c.Reply))
	}
	if c.ReplyWait <= 0 || c.MaxBodyBytes < 0 {
		problems = append(problems, errors.New("reply_wait must be above, max_body_bytes not below 0"))
	}
	return problems
}

func (c *SinkConfig) validate() error {
	problems := c.ClientConfig.validate()
	if c.Method == nethttp.MethodGet {
		problems = append(problems, errors.New("method: a sink sends bodies; use POST, PUT or PATCH"))
	}
	if !slices.Contains([]string{"ndjson", "json", "csv"}, c.Format) {
		problems = append(problems, fmt.Errorf("format: %q is none of ndjson, json, csv", c.Format))
	}
	if c.BatchSize < 1 || c.BatchSize > 1_000_000 {
		problems = append(problems, fmt.Errorf("batch_size: %d is not between 1 and 1000000", c.BatchSize))
	}
	if !validHeader(c.Idempotency, "") {
		problems = append(problems, fmt.Errorf("idempotency_header: %q is not a header", c.Idempotency))
	}
	return problem("configure http sink", problems)
}

// schema returns the declared schema, nil when there is none.
func (c *SourceConfig) schema() (*batch.Schema, error) {
	if len(c.Schema.Columns) == 0 {
		return nil, nil
	}
	fields := make([]batch.Field, len(c.Schema.Columns))
	for i, column := range c.Schema.Columns {
		typ, err := batch.ParseType(column.Type)
		if err != nil {
			return nil, fmt.Errorf("schema.columns.%s: %w", column.Name, err)
		}
		fields[i] = batch.Field{Name: column.Name, Type: typ, Nullable: true}
	}
	return batch.NewSchema(fields...), nil
}

// columns returns the columns that the settings alone tell, nil where bodies decide.
func (c *SourceConfig) columns() (*batch.Schema, error) {
	if c.Format == "lines" {
		return batch.NewSchema(batch.Field{
			Name: c.Column, Type: batch.Of(batch.String), Nullable: true,
		}), nil
	}
	declared, err := c.schema()
	if err != nil || declared == nil || c.Format == "csv" {
		return declared, err
	}
	extra, err := c.extra()
	if err != nil || extra == codec.Evolve {
		return nil, err
	}
	reader, err := codec.NewReader(codec.Options{Schema: declared, Extra: extra})
	if err != nil {
		return nil, err
	}
	return reader.Schema(), nil
}

func (c *SourceConfig) extra() (codec.Extra, error) {
	switch {
	case c.Extra != "":
		return codec.ParseExtra(c.Extra)
	case len(c.Schema.Columns) > 0:
		return codec.Ignore, nil
	}
	return codec.Evolve, nil
}

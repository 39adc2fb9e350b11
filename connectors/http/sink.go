package http

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"maps"
	nethttp "net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/codec/csv"
	"github.com/tapeline/tapeline/codec/json"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/httpkit"
)

// sink posts batches.
type sink struct {
	cfg     SinkConfig
	client  *client
	task    connector.Task
	json    *json.Encoder
	csv     *csv.Encoder
	body    []byte
	place   string // position of the last chunk taken
	piece   int    // chunks taken at that position before
	partial *partial
}

// partial is a chunk of which the server took some rows; Write of the same chunk sends the rest.
type partial struct {
	chunk   *batch.Batch
	rest    *batch.Batch
	refused []batch.RowError
}

var _ connector.Sink = (*sink)(nil)

func newSink(_ connector.Env, cfg *SinkConfig) (connector.Sink, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &sink{cfg: *cfg}
	if s.cfg.Method == "" {
		s.cfg.Method = nethttp.MethodPost
	}
	dialect := csv.NewDialect()
	dialect.Delimiter = cfg.Delimiter
	if problems := dialect.Validate(); cfg.Format == "csv" && len(problems) > 0 {
		return nil, problem("configure http sink", problems)
	}
	options := json.EncodeOptions{OmitNull: cfg.OmitNull, Newline: true}
	if cfg.Format == "json" {
		options.Separator, options.Newline = ",", false
	}
	s.csv, s.json = csv.NewEncoder(dialect), json.NewEncoder(options)
	var err error
	if s.client, err = newClient(cfg.ClientConfig); err != nil {
		return nil, problem("configure http sink", []error{err})
	}
	return s, nil
}

// Open notes the task, whose run is part of idempotency keys.
func (s *sink) Open(_ context.Context, task connector.Task) error {
	s.task = task
	return nil
}

// Write sends the rows; nil means that the server said it took them ("written").
func (s *sink) Write(ctx context.Context, chunk connector.Chunk) error {
	b := chunk.Batch
	var refused []batch.RowError
	if p := s.partial; p != nil && p.chunk == chunk.Batch {
		b, refused = p.rest, p.refused
	}
	bad, err := s.encode(b)
	if err != nil {
		return &connector.Error{Op: "encode for " + s.client.base.Host, Class: connector.Schema, Err: err}
	}
	sent := b.Without(bad)
	refused = append(refused, bad...)
	if sent.Len() > 0 {
		a, err := s.client.do(ctx, s.cfg.Method, s.request(chunk))
		if err != nil {
			return dataError(err)
		}
		if a.status == nethttp.StatusMultiStatus {
			if refused, err = s.settle(chunk.Batch, sent, refused, a); err != nil {
				return err
			}
		}
	}
	s.taken(chunk.Position)
	if len(refused) == 0 {
		return nil
	}
	return &connector.PartialError{Rows: batch.OncePerRow(refused)}
}

// encode fills body with the rows and returns those that do not read as their type.
func (s *sink) encode(b *batch.Batch) (bad []batch.RowError, err error) {
	// New memory, since the transport may read a body after its request was given up.
	s.body = make([]byte, 0, len(s.body)+len(s.body)/8)
	if s.cfg.Format == "csv" {
		if s.cfg.Header {
			s.body = s.csv.AppendHeader(s.body, b.Schema())
		}
		s.body, bad = s.csv.AppendRows(s.body, b)
		return bad, nil
	}
	s.body, bad, err = s.json.Append(s.body, b)
	if s.cfg.Format == "json" && len(s.body) > 0 {
		s.body[0] = '[' // instead of the first separator
		s.body = append(s.body, ']')
	}
	return bad, err
}

// request is the one for the rows in body.
func (s *sink) request(chunk connector.Chunk) request {
	r := request{body: s.body, headers: map[string]string{"Content-Type": map[string]string{
		"ndjson": "application/x-ndjson", "json": "application/json", "csv": "text/csv",
	}[s.cfg.Format]}}
	maps.Copy(r.headers, s.cfg.Headers)
	if s.cfg.Idempotency != "" && s.cfg.Idempotency != "-" {
		r.headers[s.cfg.Idempotency] = s.key(chunk.Position)
	}
	r.url = strings.ReplaceAll(s.cfg.URL, "{table}", url.PathEscape(chunk.Table))
	return r
}

// key names a request: it is the same for the same rows of the same place, and for no others. A
// number of epoch and request would name other rows after a restart that cuts batches anew.
func (s *sink) key(at connector.Position) string {
	h := sha256.New()
	piece := 0
	if string(at) == s.place {
		piece = s.piece
	}
	fmt.Fprintf(h, "%d:%s:%d:", len(at), at, piece)
	_, _ = h.Write(s.body) // a hash takes everything
	const hashBytes = 16
	return s.task.Run + "-" + strconv.Itoa(s.task.Index) + "-" + hex.EncodeToString(h.Sum(nil)[:hashBytes])
}

// taken counts the chunks of one position, such as the halves of a refused one.
func (s *sink) taken(at connector.Position) {
	s.partial = nil
	if string(at) != s.place {
		s.place, s.piece = string(at), 0
	}
	s.piece++
}

// dataError turns the statuses of a body that the server does not like into Data, so that the
// engine looks for the rows.
func dataError(err error) error {
	var e *connector.Error
	if errors.As(err, &e) && (e.Code == "http_400" || e.Code == "http_413" || e.Code == "http_422") {
		e.Class = connector.Data
	}
	return err
}

// Close closes idle connections.
func (s *sink) Close() error {
	s.client.close()
	return nil
}

// rowResult is what a server says of one row.
type rowResult struct {
	Index  *int `json:"index"`
	Status int  `json:"status"`
	Error  any  `json:"error"`
}

// settle reads a 207 answer: refused rows join the others, and rows that may pass later are kept
// for the next Write of the chunk.
func (s *sink) settle(
	whole, sent *batch.Batch, refused []batch.RowError, a *answer,
) ([]batch.RowError, error) {
	op := s.cfg.Method + " " + httpkit.Place(s.client.base)
	results, err := s.results(a.body, sent.Len())
	if err != nil {
		return nil, &connector.Error{
			Op: op, Class: connector.Permanent, Err: fmt.Errorf("207 answer: %w", err), Hint: "check errors",
		}
	}
	var again []int32
	worst := connector.Transient
	for _, r := range results {
		row := sent.Row(*r.Index)
		switch class := httpkit.StatusClass(r.Status); {
		case r.Status/100 == 2 || r.Status == 0 && r.Error == nil:
		case r.Status != 0 && class.Retryable():
			again = append(again, int32(row))
			worst = max(worst, class)
		default:
			refused = append(refused, batch.RowError{Row: row, Reason: reason(r)})
		}
	}
	if len(again) == 0 {
		return refused, nil
	}
	slices.Sort(again)
	s.partial = &partial{chunk: whole, rest: sent.Select(slices.Compact(again)), refused: refused}
	after, _ := httpkit.RetryAfter(a.header, time.Now())
	return nil, &connector.Error{
		Op: op, Class: worst, After: after,
		Err: fmt.Errorf("%d of %d rows are not taken yet", len(again), sent.Len()),
	}
}

// results returns the results of rows, each with its index.
func (s *sink) results(body []byte, rows int) ([]rowResult, error) {
	paths := []string{s.cfg.Errors}
	if s.cfg.Errors == "" {
		paths = []string{"$", "$.errors", "$.items", "$.results"}
	}
	var results []rowResult
	err := errors.New("no array of row results")
	for _, path := range paths {
		value, found := lookup(body, path)
		if !found || value[0] != '[' {
			continue
		}
		if err = stdjson.Unmarshal(value, &results); err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	for i := range results {
		r := &results[i]
		if r.Index == nil {
			if len(results) != rows {
				return nil, fmt.Errorf("result %d of %d has no index and %d rows were sent", i, len(results), rows)
			}
			r.Index = &i
		} else if r.Status == 0 && r.Error == nil {
			r.Error = "refused"
		}
		if *r.Index < 0 || *r.Index >= rows {
			return nil, fmt.Errorf("index %d is not one of %d rows", *r.Index, rows)
		}
	}
	return results, nil
}

func reason(r rowResult) string {
	text := ""
	switch e := r.Error.(type) {
	case nil:
	case string:
		text = e
	default:
		encoded, _ := stdjson.Marshal(e) // it was decoded from JSON
		text = string(encoded)
	}
	if r.Status != 0 {
		text = strings.TrimSpace(strconv.Itoa(r.Status) + " " + text)
	}
	const longest = 500
	return "the server refused it: " + text[:min(len(text), longest)]
}

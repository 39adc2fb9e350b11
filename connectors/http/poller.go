package http

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"maps"
	nethttp "net/http"
	"slices"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/httpkit"
)

// poller is the client source: it reads all pages, once or again and again.
type poller struct {
	cfg    SourceConfig
	env    connector.Env
	client *client
	pager  pager
	format format

	at   position
	page *openPage // being handed over
	rest time.Time // when the last reading of all pages ended here; zero: none did
	last uint64    // hash of the page before
	seed maphash.Seed

	closing context.Context // ends with Close
	close   context.CancelFunc
}

// openPage is a page whose rows are being handed over.
type openPage struct {
	pending
	next position // after the page
}

var (
	_ connector.Source     = (*poller)(nil)
	_ connector.Discoverer = (*poller)(nil)
)

func newPoller(env connector.Env, cfg *SourceConfig) (connector.Source, error) {
	s := &poller{cfg: *cfg, env: env, seed: maphash.MakeSeed()}
	if s.cfg.Method == "" {
		s.cfg.Method = nethttp.MethodGet
	}
	var err error
	if s.client, err = newClient(cfg.ClientConfig); err != nil {
		return nil, problem("configure http source", []error{err})
	}
	s.client.idle = env.Idled
	s.client.secrets.Keep(slices.Collect(maps.Values(cfg.Query))...)
	if s.format, err = newFormat(&s.cfg); err != nil {
		return nil, err
	}
	s.pager = pager{cfg: &s.cfg, base: s.client.base}
	s.closing, s.close = context.WithCancel(context.Background())
	return s, nil
}

// Open continues at a position. One of an earlier run that ended is where the next reading begins,
// unless the configuration has nothing to ask for new records with: then it starts anew.
func (s *poller) Open(_ context.Context, _ connector.Partition, at connector.Position) error {
	first := position{
		Run: s.env.Run, Since: s.cfg.Incremental.InitialValue, High: s.cfg.Incremental.InitialValue,
	}
	s.at = first
	if at == nil {
		return nil
	}
	p, err := parsePosition(at)
	if err != nil {
		return &connector.Error{Op: "open http source", Class: connector.Permanent, Err: err}
	}
	s.at = p
	s.client.resume()
	if p.Run == s.env.Run {
		return nil
	}
	switch keep := s.cfg.Pagination.Keep; {
	case s.cfg.Incremental.Field == "" && !keep:
		s.at = first
	case p.Done:
		s.at = p.again(keep)
	}
	s.at.Run = s.env.Run
	return nil
}

// Read returns the next rows of the current page, or of the next one.
func (s *poller) Read(ctx context.Context) (connector.Chunk, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(s.closing, cancel)
	defer func() {
		if !stop() {
			s.client.close() // a connection may have become idle after Close
		}
	}()
	for {
		if s.page != nil {
			if chunk, ok := s.hand(); ok {
				return chunk, nil
			}
		}
		if s.at.Done {
			if s.cfg.Poll == 0 {
				return connector.Chunk{Position: s.at.encode()}, io.EOF
			}
			if err := s.wait(ctx); err != nil {
				return connector.Chunk{}, s.stopped(err)
			}
			s.at = s.at.again(s.cfg.Pagination.Keep)
		}
		if err := s.fetch(ctx); err != nil {
			return connector.Chunk{}, s.stopped(err)
		}
	}
}

// wait lets the poll interval pass. A position of another source tells no time: its next reading
// begins at once, as one whose first page failed must not wait again.
func (s *poller) wait(ctx context.Context) error {
	if s.rest.IsZero() {
		return ctx.Err()
	}
	before := time.Now()
	defer s.env.Idled(before)
	return httpkit.Sleep(ctx, s.rest.Add(s.cfg.Poll).Sub(before))
}

// stopped turns the end by Close into that of the source.
func (s *poller) stopped(err error) error {
	if s.closing.Err() != nil {
		return io.ErrClosedPipe
	}
	return err
}

// fetch reads the page of the current position.
func (s *poller) fetch(ctx context.Context) error {
	a, err := s.client.do(ctx, s.cfg.Method, s.pager.request(s.at))
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s page %d", httpkit.Place(a.url), s.at.Pages+1)
	rows, err := s.format.decode(a.body, name)
	if err != nil {
		return err
	}
	next, err := s.pager.next(s.at, a, rows.records())
	if err != nil {
		return &connector.Error{Op: "read " + name, Class: connector.Permanent, Err: err}
	}
	if err := s.moved(a.body, rows.records(), name); err != nil {
		return err
	}
	if next.High, err = s.highest(next.High, rows.batch, name); err != nil {
		return err
	}
	s.page = &openPage{
		pending: pending{decoded: rows, sent: s.at.Skip, bytes: len(a.body), begun: s.at.Skip > 0},
		next:    next,
	}
	return nil
}

// moved refuses a page that is the one before again: a server that does not know the parameter of
// page or offset would be read for ever.
func (s *poller) moved(body []byte, records int, name string) error {
	before := s.last
	s.last = maphash.Bytes(s.seed, body)
	counts := s.cfg.Pagination.Type == "page" || s.cfg.Pagination.Type == "offset"
	if !counts || s.at.Pages == 0 || s.last != before || records < 2 {
		return nil
	}
	return &connector.Error{
		Op: "read " + name, Class: connector.Permanent, Code: "http_same_page",
		Err:  errors.New("it is the page before again"),
		Hint: "does the server know pagination.param?",
	}
}

// highest returns the greatest value of the incremental column, at least high, spelled as the
// server spelled it.
func (s *poller) highest(high string, b *batch.Batch, name string) (string, error) {
	field := s.cfg.Incremental.Field
	if field == "" || b == nil || b.Len() == 0 {
		return high, nil
	}
	i := b.Schema().Index(field)
	if i < 0 {
		return "", &connector.Error{
			Op: "read " + name, Class: connector.Schema, Path: "incremental.field",
			Err: fmt.Errorf("no column %q in (%s)", field, b.Schema()),
		}
	}
	column := b.Column(i)
	spans, cell := column.Spans()
	var scratch []byte
	for k := range b.Len() {
		row := b.Row(k)
		var text []byte
		null := false
		if spans != nil {
			text, null, scratch = spans.Text(row, cell, scratch[:0])
		} else if null = column.IsNull(row); !null {
			text = batch.AppendText(scratch[:0], column, row)
		}
		if !null && greater(string(text), high) {
			high = string(text)
		}
	}
	return high, nil
}

// hand returns the next chunk of the open page; ok false when nothing of it is left. The end of a
// reading is a chunk too, so that its position is committed.
func (s *poller) hand() (chunk connector.Chunk, ok bool) {
	p := s.page
	if !p.more() && (p.begun || !p.next.Done) {
		s.leave()
		return connector.Chunk{}, false
	}
	chunk = p.cut(s.env.Budget.Limits())
	s.at.Skip = p.sent
	if !p.more() {
		s.leave()
	}
	chunk.Position = s.at.encode()
	return chunk, true
}

// leave goes on to the page after the open one.
func (s *poller) leave() {
	s.page.end()
	s.at = s.page.next
	s.page = nil
	if s.at.Done {
		s.rest = time.Now()
	}
}

// Discover returns declared columns. It makes no request: one may have effects, or count.
func (s *poller) Discover(context.Context) (*batch.Schema, error) { return s.cfg.columns() }

// Ack does nothing: the server keeps its records.
func (s *poller) Ack(context.Context, connector.Position) error { return nil }

// Close ends a blocked Read.
func (s *poller) Close() error {
	s.close()
	s.client.close()
	return nil
}

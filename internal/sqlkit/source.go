package sqlkit

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

// Source reads a table or query row by row, ordered by its key so that it can go on anywhere.
type Source struct {
	env     connector.Env
	config  SourceConfig
	backend Backend

	session *Session
	table   Table // columns to deliver
	schema  *batch.Schema
	sort    []string // ordering expressions, also at the end of the select list
	digits  []bool   // those that are exact decimals
	unique  bool     // the ordering has no ties
	at      place
	rows    driver.Rows
	values  []driver.Value
	last    []driver.Value // the ordering values of the newest row

	reading sync.Mutex // held by Read: drivers do not bear Close beside it

	mu     sync.Mutex
	closed bool
	cancel context.CancelFunc
}

var (
	_ connector.Source     = (*Source)(nil)
	_ connector.Discoverer = (*Source)(nil)
	_ connector.Checker    = (*Source)(nil)
)

// NewSource returns a source over the backend.
func NewSource(env connector.Env, config SourceConfig, backend Backend) (*Source, error) {
	if err := config.Validate(); err != nil {
		return nil, &connector.Error{Op: "read config", Class: connector.Permanent, Err: err}
	}
	return &Source{env: env, config: config, backend: backend}, nil
}

// Open connects and starts the query; one statement is one consistent snapshot.
func (s *Source) Open(ctx context.Context, _ connector.Partition, p connector.Position) error {
	if err := s.plan(ctx); err != nil {
		return err
	}
	if err := s.resume(p); err != nil || s.at.Done {
		return err
	}
	query, err := s.query(ctx)
	if err != nil {
		return err
	}
	if p == nil {
		s.warnOfNulls(ctx)
	}
	// The query outlives Open: it ends with Close.
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.mu.Lock()
	s.cancel = cancel
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, cancel)
	defer stop()
	rows, err := s.session.Query(running, query)
	if ctx.Err() != nil {
		s.stopServer()
		return context.Cause(ctx)
	}
	if err != nil {
		return s.backend.Classify("read "+s.name(), err)
	}
	s.rows, s.values = rows, make([]driver.Value, len(rows.Columns()))
	return nil
}

func (s *Source) fail(format string, args ...any) error {
	return &connector.Error{
		Op: "open " + s.name(), Class: connector.Permanent, Err: fmt.Errorf(format, args...),
	}
}

func (s *Source) name() string {
	if s.config.Table != "" {
		return "table " + s.config.Table
	}
	return "query"
}

// plan connects, reads the columns and chooses the order.
func (s *Source) plan(ctx context.Context) error {
	session, err := s.backend.Connect(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.session = session
	s.mu.Unlock()
	var all Table
	if s.config.Table != "" {
		name, err := ParseName(s.config.Table)
		if err != nil {
			return s.fail("%w", err)
		}
		if all, err = s.backend.Describe(ctx, session, name); err != nil {
			return err
		}
		if len(all.Columns) == 0 {
			return &connector.Error{
				Op: "open " + s.name(), Class: connector.Schema, Err: errors.New("no such table"),
			}
		}
	} else if all, err = s.backend.DescribeQuery(ctx, session, s.config.Query); err != nil {
		return err
	}
	if err := s.choose(all); err != nil {
		return err
	}
	return s.order(all)
}

// choose keeps the configured columns.
func (s *Source) choose(all Table) error {
	s.table = all
	if len(s.config.Columns) > 0 {
		s.table.Columns = nil
		for _, name := range s.config.Columns {
			i := slices.IndexFunc(all.Columns, func(c Column) bool { return c.Name == name })
			if i < 0 {
				return s.fail("columns: no column %q", name)
			}
			s.table.Columns = append(s.table.Columns, all.Columns[i])
		}
	}
	fields := make([]batch.Field, len(s.table.Columns))
	for i, c := range s.table.Columns {
		fields[i] = batch.Field{Name: c.Name, Type: c.Type, Nullable: !c.NotNull}
	}
	s.schema = batch.NewSchema(fields...)
	return nil
}

// Read fills one batch. Rows with a value that is not of the column's type are refused.
func (s *Source) Read(ctx context.Context) (connector.Chunk, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.at.Done || s.rows == nil {
		return connector.Chunk{Position: s.position(true)}, io.EOF
	}
	limits := s.env.Budget.Limits()
	most := limits.Rows
	if s.config.BatchSize > 0 {
		most = min(most, s.config.BatchSize)
	}
	stop := context.AfterFunc(ctx, s.interrupt)
	defer stop()
	b := batch.NewBuilder(s.schema)
	var bad []batch.RowError
	n, size := 0, 0
	for n < most && size < limits.Bytes {
		if n%stopEvery == 0 && s.stopped(ctx) {
			return connector.Chunk{}, s.readError(ctx, io.ErrClosedPipe)
		}
		err := s.rows.Next(s.values)
		if errors.Is(err, io.EOF) {
			s.at.Done = true
			break
		}
		if err != nil {
			return connector.Chunk{}, s.readError(ctx, err)
		}
		refused, bytes := s.appendRow(b, n)
		bad = append(bad, refused...)
		size += bytes
		n++
		s.advance()
	}
	if n == 0 {
		return connector.Chunk{Position: s.position(true)}, io.EOF
	}
	return s.chunk(b, n, size, bad)
}

// stopEvery is how many rows may pass until Read sees that it should end.
const stopEvery = 256

func (s *Source) stopped(ctx context.Context) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed || ctx.Err() != nil
}

func (s *Source) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel != nil {
		s.cancel()
	}
}

func (s *Source) readError(ctx context.Context, err error) error {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	switch {
	case closed:
		return io.ErrClosedPipe
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return s.backend.Classify("read "+s.name(), err)
}

// appendRow appends the driver's values; what does not fit becomes NULL and refuses the row.
func (s *Source) appendRow(b *batch.Builder, row int) (bad []batch.RowError, sizeBytes int) {
	for i := range s.table.Columns {
		a := b.Column(i)
		var err error
		switch v := s.values[i].(type) {
		case int64:
			sizeBytes += 8
			if kind := a.Type().Kind; kind == batch.Time || kind == batch.Timestamp {
				// Seconds, milliseconds or days: nobody says which.
				err = fmt.Errorf("the number %d is not a value of type %s", v, a.Type())
			} else {
				err = a.Any(v)
			}
		case string:
			sizeBytes += len(v)
			err = AppendText(a, v)
		case []byte:
			sizeBytes += len(v)
			if a.Type().Text() {
				a.Bytes(v)
			} else {
				err = AppendText(a, string(v))
			}
		default:
			sizeBytes += 8
			err = a.Any(v)
		}
		if err != nil {
			a.Null()
			bad = append(bad, batch.RowError{
				Row: row, Column: s.table.Columns[i].Name, Reason: err.Error(),
			})
		}
	}
	return bad, sizeBytes
}

// AppendText appends a database's text form: a timestamp may also be spelled as a plain number's
// text, a date may carry a midnight.
func AppendText(a *batch.Appender, text string) error {
	switch {
	case a.Type().Text():
		a.Text(text)
		return nil
	case a.Type().Kind == batch.Date:
		if day, clock, ok := strings.Cut(text, " "); ok && strings.Trim(clock, "0:.") == "" {
			text = day
		}
	}
	return a.Any(text)
}

func (s *Source) chunk(
	b *batch.Builder, n, sizeBytes int, bad []batch.RowError,
) (connector.Chunk, error) {
	if s.unique {
		s.at.Values = s.literals(s.last)
	}
	out, err := b.Batch()
	if err != nil {
		return connector.Chunk{}, err
	}
	origin := &batch.Origin{Name: s.config.Table, Record: s.at.Rows - int64(n) + 1}
	if origin.Name == "" {
		origin.Name = "query"
	}
	out = out.WithOrigin(origin)
	chunk := connector.Chunk{
		Table: s.config.Table, Position: s.position(false), Bytes: sizeBytes, Release: func() {},
	}
	if len(bad) > 0 {
		chunk.Rejected = Rejected(out, bad)
		out = out.Without(bad)
	}
	chunk.Batch = out
	return chunk, nil
}

// Rejected describes refused rows for dead letters: the row's other values as a JSON object.
func Rejected(b *batch.Batch, bad []batch.RowError) []connector.Rejected {
	const most = 64 << 10
	out := make([]connector.Rejected, 0, len(bad))
	for _, e := range bad {
		record := []byte{'{'}
		for i, c := range b.Columns() {
			if i > 0 {
				record = append(record, ',')
			}
			record = append(batch.AppendJSONString(record, b.Schema().Field(i).Name), ':')
			record = batch.AppendJSON(record, c, e.Row)
		}
		record = append(record, '}')
		out = append(out, connector.Rejected{
			Place:  b.Origin().At(e.Row),
			Reason: fmt.Sprintf("column %s: %s", e.Column, e.Reason),
			Record: string(record[:min(len(record), most)]),
		})
	}
	return out
}

// Ack does nothing: the table keeps its rows.
func (s *Source) Ack(context.Context, connector.Position) error { return nil }

// Close ends the query; a blocked Read returns.
func (s *Source) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	s.interrupt()
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.rows != nil {
		if !s.at.Done {
			s.stopServer()
		}
		_ = s.rows.Close() // the connection goes anyway
	}
	return s.session.Close()
}

// stopServer ends a query whose rows no one will read: the server notices a closed connection only
// when it sends, and keeps its locks until then.
func (s *Source) stopServer() {
	if s.backend.Cancel == nil {
		return
	}
	const patience = 3 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s.backend.Cancel(ctx, s.session)
}

// Discover returns the schema of the chunks to come.
func (s *Source) Discover(ctx context.Context) (*batch.Schema, error) {
	probe := &Source{env: s.env, config: s.config, backend: s.backend}
	err := probe.plan(ctx)
	if closing := probe.Close(); err == nil {
		err = closing
	}
	return probe.schema, err
}

// Check reads no row.
func (s *Source) Check(ctx context.Context) error {
	_, err := s.Discover(ctx)
	return err
}

package sqlkit

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
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
	unique  bool     // the ordering has no ties
	at      place
	rows    driver.Rows
	values  []driver.Value

	reading sync.Mutex // held by Read: drivers do not bear Close beside it

	mu     sync.Mutex
	closed bool
	cancel context.CancelFunc
}

// place names the last row read.
type place struct {
	Version int      `json:"v"`
	Sort    []string `json:"sort,omitempty"`
	Values  []string `json:"values,omitempty"` // SQL literals of the ordering expressions
	Skip    int64    `json:"skip,omitempty"`   // rows read of those that are equal in order
	Rows    int64    `json:"rows"`
	Done    bool     `json:"done,omitempty"`
}

const placeVersion = 1

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
	s.at = place{Sort: s.sort}
	if p != nil {
		if err := json.Unmarshal(p, &s.at); err != nil || s.at.Version != placeVersion {
			return s.fail("position %q is of another version", p)
		}
		if !slices.Equal(s.at.Sort, s.sort) {
			return s.fail("the position is ordered by %v, the configuration by %v: start with --fresh",
				s.at.Sort, s.sort)
		}
	}
	if s.at.Done {
		return nil
	}
	// The query outlives Open: it ends with Close.
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.mu.Lock()
	s.cancel = cancel
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, cancel)
	defer stop()
	rows, err := s.session.Query(running, s.query())
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
	s.sort, s.unique = all.Key, len(all.Key) > 0
	if column := s.config.Incremental.Column; column != "" {
		if !slices.ContainsFunc(all.Columns, func(c Column) bool { return c.Name == column }) {
			return s.fail("incremental.column: no column %q", column)
		}
		quoted := s.backend.Dialect.Quote(column)
		s.sort = append([]string{quoted}, slices.DeleteFunc(slices.Clone(all.Key),
			func(key string) bool { return key == quoted })...)
	}
	return nil
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

func (s *Source) query() string {
	d := s.backend.Dialect
	var list, conditions []string
	for _, c := range s.table.Columns {
		list = append(list, s.backend.Expression(c))
	}
	list = append(list, s.sort...)
	from := "(" + strings.TrimRight(s.config.Query, "; \n\t") + ") AS query"
	if s.config.Table != "" {
		name, _ := ParseName(s.config.Table) // parsed before
		from = d.QuoteName(name)
	}
	switch {
	case len(s.at.Values) > 0 && s.unique:
		conditions = append(conditions, d.After(s.sort, s.at.Values))
	case len(s.at.Values) > 0:
		conditions = append(conditions, s.sort[0]+" >= "+s.at.Values[0])
	case s.config.Incremental.InitialValue != nil:
		conditions = append(conditions, s.sort[0]+" > "+d.initial(s.config.Incremental.InitialValue))
	case s.config.Incremental.Column != "":
		conditions = append(conditions, s.sort[0]+" IS NOT NULL")
	}
	if s.config.Where != "" {
		conditions = append(conditions, "("+s.config.Where+")")
	}
	sql := "SELECT " + strings.Join(list, ", ") + " FROM " + from
	if len(conditions) > 0 {
		sql += " WHERE " + strings.Join(conditions, " AND ")
	}
	if len(s.sort) > 0 {
		sql += " ORDER BY " + strings.Join(s.sort, ", ")
		// Rows that are counted must come in one order each time: only equal rows may change places.
		var sqlSb212 strings.Builder
		for i := range s.table.Columns {
			if s.unique {
				break
			}
			sqlSb212.WriteString(", " + strconv.Itoa(i+1))
		}
		sql += sqlSb212.String()
	}
	if s.at.Skip > 0 {
		sql += " LIMIT 9223372036854775807 OFFSET " + strconv.FormatInt(s.at.Skip, 10)
	}
	return sql
}

// Read fills one batch. Rows with a value that is not of the column's type are refused.
func (s *Source) Read(ctx context.Context) (connector.Chunk, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.at.Done || s.rows == nil {
		return connector.Chunk{Position: s.end()}, io.EOF
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
		return connector.Chunk{Position: s.end()}, io.EOF
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
			err = a.Any(v)
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

// advance moves the position to the row just read.
func (s *Source) advance() {
	s.at.Rows++
	if len(s.sort) == 0 {
		s.at.Skip++
		return
	}
	if s.unique {
		return // taken at the chunk's end
	}
	values := s.literals()
	if len(s.at.Values) > 0 && s.at.Values[0] == values[0] {
		s.at.Skip++
		return
	}
	s.at.Values, s.at.Skip = values, 1
}

// literals returns the ordering values of the current row.
func (s *Source) literals() []string {
	values := s.values[len(s.table.Columns):]
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = s.backend.Dialect.Value(v)
	}
	return out
}

func (s *Source) chunk(
	b *batch.Builder, n, sizeBytes int, bad []batch.RowError,
) (connector.Chunk, error) {
	if s.unique {
		s.at.Values = s.literals()
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
	// Done is for the end alone: the engine asks once more.
	at := s.at
	at.Done = false
	chunk := connector.Chunk{
		Table: s.config.Table, Position: at.encode(), Bytes: sizeBytes, Release: func() {},
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

func (p place) encode() connector.Position {
	p.Version = placeVersion
	text, _ := json.Marshal(p) // plain members always marshal
	return text
}

// end is the position after the last row; an incremental source goes on from there.
func (s *Source) end() connector.Position {
	at := s.at
	at.Done = s.config.Incremental.Column == ""
	return at.encode()
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

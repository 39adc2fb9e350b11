package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

type sourceConfig struct {
	Connection          `yaml:",inline"`
	sqlkit.SourceConfig `yaml:",inline"`
	Numeric             string `yaml:"numeric" doc:"type of numeric columns without precision: decimal(p,s), float64 or string; a value that does not fit exactly refuses its row"`
	Pushdown            bool   `yaml:"pushdown" resume:"ignore" doc:"let the server leave out rows that the filter behind the source drops; false: all rows are read and counted here"`
	NonFinite           string `yaml:"non_finite" enum:"reject,null" doc:"what NaN and infinity of numeric, date and timestamp columns become"`
}

// source reads one partition of a table or query in one snapshot.
type source struct {
	env    connector.Env
	config *sourceConfig

	session *session
	plan    *plan
	wire    *wire
	at      position
	todo    []relation // physical: the current relation and those after it
	spare   chan []byte
	ended   atomic.Bool // the last COPY is over

	mu     sync.Mutex
	closed bool
}

var (
	_ connector.Source      = (*source)(nil)
	_ connector.Decoder     = (*source)(nil)
	_ connector.Partitioner = (*source)(nil)
	_ connector.Discoverer  = (*source)(nil)
	_ connector.Checker     = (*source)(nil)
	_ connector.Filterer    = (*source)(nil)
)

func newSource(env connector.Env, config *sourceConfig) (connector.Source, error) {
	if err := config.Validate(); err != nil {
		return nil, &connector.Error{Op: "read config", Class: connector.Permanent, Err: err}
	}
	if _, err := parseNumeric(config.Numeric); err != nil {
		return nil, &connector.Error{Op: "read config", Class: connector.Permanent, Err: err}
	}
	const spareBlocks = 8
	return &source{env: env, config: config, spare: make(chan []byte, spareBlocks)}, nil
}

// Open takes a snapshot and starts the first COPY.
func (s *source) Open(ctx context.Context, part connector.Partition, p connector.Position) error {
	var err error
	if err = s.begin(ctx); err != nil {
		return err
	}
	if s.at, err = parsePosition(p, s.plan.order); err != nil {
		return &connector.Error{Op: "open " + s.name(), Class: connector.Permanent, Err: err}
	}
	if s.at.Done {
		return nil
	}
	s.todo = s.plan.relations
	if len(part.Spec) > 0 {
		s.todo = nil
		if err := json.Unmarshal(part.Spec, &s.todo); err != nil {
			return fmt.Errorf("open partition %s: %w", part.ID, err)
		}
	}
	for s.at.Relation != 0 && s.todo[0].OID != s.at.Relation {
		if s.todo = s.todo[1:]; len(s.todo) == 0 {
			return &connector.Error{
				Op: "open " + s.name(), Class: connector.Permanent,
				Err:  fmt.Errorf("the position's table with oid %d is gone", s.at.Relation),
				Hint: "the table was recreated or rewritten; start with --fresh",
			}
		}
	}
	if p == nil {
		s.warnOfNulls(ctx)
	}
	if s.wire, err = newWire(ctx, s.session.conn); err != nil {
		return classify("open "+s.name(), err)
	}
	return s.startCopy(ctx)
}

// begin connects, plans and takes the snapshot, unless Filter did.
func (s *source) begin(ctx context.Context) error {
	if s.plan != nil {
		return nil
	}
	session, err := connect(ctx, s.config.Connection, s.env.Node)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.session = session
	s.mu.Unlock()
	settings := "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0"
	if err := session.run(ctx, settings); err != nil {
		return classify("begin snapshot", err)
	}
	if s.plan, err = makePlan(ctx, session, s.config); err != nil {
		return err
	}
	if s.plan.order == physical {
		// A plain index scan would leave physical order; bitmap scans keep it.
		return classify("begin snapshot", session.run(ctx, "SET LOCAL enable_indexscan = off"))
	}
	return nil
}

func (s *source) name() string {
	if s.config.Table != "" {
		return "table " + s.config.Table
	}
	return "query"
}

// warnOfNulls says that some rows will never be read. It is a courtesy, in a savepoint of its own.
func (s *source) warnOfNulls(ctx context.Context) {
	if s.plan.order != sorted || s.config.Table == "" || !s.plan.sort[0].nullable {
		return
	}
	column := s.plan.sort[0].ordering()
	sql := "SELECT 1 FROM " + s.plan.from + " AS s WHERE " + column + " IS NULL"
	if s.config.Where != "" {
		sql += " AND (" + s.config.Where + ")"
	}
	if s.session.run(ctx, "SAVEPOINT nulls") != nil {
		return
	}
	if _, found, err := s.session.Int(ctx, sql+" LIMIT 1"); err == nil && found {
		s.env.Log.Warn("rows without a value in incremental.column are not read",
			"table", s.config.Table, "column", s.config.Incremental.Column)
	}
	_ = s.session.run(ctx, "ROLLBACK TO SAVEPOINT nulls") // a failure shows at the COPY
}

func (s *source) startCopy(ctx context.Context) error {
	var r relation
	if s.plan.order == physical {
		r = s.todo[0]
	}
	stop := s.wire.watch(ctx)
	err := s.wire.send(s.plan.selection(s.config, s.at, r))
	stop(err)
	return classify("read "+s.name(), err)
}

// Read takes whole rows off the socket up to the budget.
func (s *source) Read(ctx context.Context) (connector.Chunk, error) {
	for {
		if s.at.Done || s.wire == nil {
			return connector.Chunk{Position: s.end()}, io.EOF
		}
		if err := ctx.Err(); err != nil {
			return connector.Chunk{}, err
		}
		limits := s.env.Budget.Limits()
		rows := limits.Rows
		if s.config.BatchSize > 0 {
			rows = min(rows, s.config.BatchSize)
		}
		frames, n, done, err := s.fill(ctx, rows, limits)
		if err != nil {
			return connector.Chunk{}, s.readError(ctx, err)
		}
		chunk := connector.Chunk{}
		if n > 0 {
			if chunk, err = s.chunk(frames, n); err != nil {
				return chunk, classify("read "+s.name(), err)
			}
		}
		if done {
			if err := s.finishCopy(ctx); err != nil {
				return connector.Chunk{}, err
			}
		}
		if n > 0 {
			return chunk, nil
		}
	}
}

func (s *source) fill(
	ctx context.Context, rows int, limits connector.Limits,
) ([]byte, int, bool, error) {
	const slack = 64 << 10
	var buffer []byte
	select {
	case buffer = <-s.spare:
		buffer = buffer[:0]
	default:
		buffer = make([]byte, 0, min(limits.Bytes, 4<<20)+slack)
	}
	stop := s.wire.watch(ctx)
	block, n, done, err := s.wire.fill(buffer, rows, limits.Bytes)
	stop(err)
	return block, n, done, err
}

func (s *source) readError(ctx context.Context, err error) error {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return io.ErrClosedPipe
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return classify("read "+s.name(), err)
}

// chunk moves the position to the block's last row.
func (s *source) chunk(frames []byte, rows int) (connector.Chunk, error) {
	origin := &batch.Origin{Name: s.config.Table, Record: s.at.Rows + 1}
	if origin.Name == "" {
		origin.Name = "query"
	}
	s.at.Rows += int64(rows)
	if err := s.advance(frames, rows); err != nil {
		return connector.Chunk{}, err
	}
	return connector.Chunk{
		Table: s.config.Table, Payload: block{frames: frames, rows: rows, origin: origin},
		Position: s.at.encode(), Bytes: len(frames), Release: s.release(frames),
	}, nil
}

// release keeps a few buffers for later blocks.
func (s *source) release(frames []byte) func() {
	return func() {
		select {
		case s.spare <- frames:
		default:
		}
	}
}

func (s *source) advance(frames []byte, rows int) error {
	switch s.plan.order {
	case counted:
		s.at.Skip += int64(rows)
		return nil
	case physical:
		ctid, err := fieldAt(lastFrame(frames, rows), len(s.plan.columns))
		if err != nil || len(ctid) != 6 {
			return errNoCursor
		}
		s.at.Relation = s.todo[0].OID
		s.at.Block = uint32(ctid[0])<<24 | uint32(ctid[1])<<16 | uint32(ctid[2])<<8 | uint32(ctid[3])
		s.at.Offset = uint16(ctid[4])<<8 | uint16(ctid[5])
		return nil
	}
	if s.plan.ties {
		return s.advanceTies(frames, rows)
	}
	// Without a tie-breaker the rows that share the last value are counted.
	for range rows {
		values, err := s.cursorAt(frames)
		if err != nil {
			return err
		}
		if len(s.at.Values) > 0 && values[0] == s.at.Values[0] {
			s.at.Skip++
		} else {
			s.at.Values, s.at.Skip = values, 1
		}
		size, _ := frameSize(frames)
		frames = frames[size:]
	}
	return nil
}

// advanceTies names the last row, and the rows that share its first value while they are few.
func (s *source) advanceTies(frames []byte, rows int) error {
	if len(s.plan.sort) == 1 {
		values, err := s.cursorAt(lastFrame(frames, rows))
		s.at.Values = values
		return err
	}
	tail, count, err := equalTail(frames, rows, len(s.plan.columns))
	if err != nil {
		return err
	}
	last, err := s.cursorAt(lastFrame(tail, count))
	if err != nil {
		return err
	}
	if count < rows || len(s.at.Values) == 0 || s.at.Values[0] != last[0] {
		s.at.Reset()
	}
	s.at.Values = last
	for n := 0; n < count && !s.at.Ordered; n++ {
		values, err := s.cursorAt(tail)
		if err != nil {
			return err
		}
		s.at.Add(values[1:])
		size, _ := frameSize(tail)
		tail = tail[size:]
	}
	return nil
}

// cursorAt returns the ordering columns of one row as text.
func (s *source) cursorAt(frame []byte) ([]string, error) {
	values := make([]string, len(s.plan.sort))
	for i := range s.plan.sort {
		field, err := fieldAt(frame, len(s.plan.columns)+i)
		if err != nil {
			return nil, err
		}
		if field == nil {
			return nil, fmt.Errorf("%w: %s is NULL", errNoCursor, s.plan.sort[i].name)
		}
		if values[i], err = s.plan.sort[i].cursor(field); err != nil {
			return nil, fmt.Errorf("ordering column %s: %w", s.plan.sort[i].name, err)
		}
	}
	return values, nil
}

// cursor is the text the server reads back as the same value.
func (c *column) cursor(field []byte) (string, error) {
	var builder columnBuilder
	builder.start(&c.codec, 1, len(field))
	err := builder.value(0, field)
	switch {
	case errors.Is(err, errNotFinite) && field[0]&0x80 == 0:
		return "infinity", nil
	case errors.Is(err, errNotFinite):
		return "-infinity", nil
	case err != nil:
		return "", err
	}
	return string(appendInput(nil, builder.column(), 0)), nil
}

// finishCopy goes on to the next relation, or ends.
func (s *source) finishCopy(ctx context.Context) error {
	if s.plan.order == physical && len(s.todo) > 1 {
		s.todo = s.todo[1:]
		s.at.Relation, s.at.Block, s.at.Offset = s.todo[0].OID, 0, 0
		return s.startCopy(ctx)
	}
	s.at.Done = true
	s.ended.Store(true)
	return nil
}

// end is the position after the last row: an incremental source goes on from there.
func (s *source) end() connector.Position {
	at := s.at
	if at.Order == sorted {
		at.Done = false
	}
	return at.encode()
}

// Ack does nothing: the table keeps its rows.
func (s *source) Ack(context.Context, connector.Position) error { return nil }

// Close ends the snapshot; a blocked Read returns.
func (s *source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.session == nil {
		s.closed = true
		return nil
	}
	s.closed = true
	// A server that is not sending notices a closed socket late, and keeps its locks until then.
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if !s.ended.Load() {
		_ = s.session.conn.CancelRequest(ctx)
	}
	if err := s.session.conn.Conn().Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil // the server had closed it before
}

// NewDecode returns a worker's decoder.
func (s *source) NewDecode() connector.DecodeFunc {
	var d *decoder
	return func(chunk connector.Chunk) (connector.Chunk, error) {
		payload, ok := chunk.Payload.(block)
		if !ok {
			return chunk, nil
		}
		if d == nil {
			d = &decoder{
				columns: s.plan.columns, schema: s.plan.schema, null: s.config.NonFinite == "null",
			}
		}
		out, bad, err := d.decode(payload)
		if err != nil {
			return chunk, &connector.Error{
				Op: "decode " + s.name(), Class: connector.Permanent, Err: err,
			}
		}
		if len(bad) > 0 {
			chunk.Rejected = append(chunk.Rejected, sqlkit.Rejected(out, bad)...)
			out = out.Without(bad)
		}
		chunk.Batch, chunk.Payload = out, nil
		return chunk, nil
	}
}

// Partitions cuts a table into ranges of blocks, each read in a snapshot of its own.
func (s *source) Partitions(ctx context.Context, limit int) ([]connector.Partition, error) {
	whole := []connector.Partition{{}}
	if s.config.Table == "" || s.config.Incremental.Column != "" || limit < 2 {
		return whole, nil
	}
	session, err := connect(ctx, s.config.Connection, s.env.Node)
	if err != nil {
		return nil, err
	}
	defer session.close()
	name, err := sqlkit.ParseName(s.config.Table)
	if err != nil {
		return nil, &connector.Error{Op: "read table", Class: connector.Permanent, Err: err}
	}
	info, err := describe(ctx, session, name)
	if err != nil || info.relations == nil {
		return whole, err
	}
	blocks, err := session.blocks(ctx, info.relations)
	if err != nil {
		return nil, err
	}
	groups := divideRelations(info.relations, blocks, limit)
	if len(groups) == 1 {
		return whole, nil
	}
	parts := make([]connector.Partition, len(groups))
	for i, group := range groups {
		parts[i] = connector.Partition{ID: strconv.Itoa(i), Spec: encodeRelations(group)}
	}
	return parts, nil
}

// Discover returns the schema of the chunks to come.
func (s *source) Discover(ctx context.Context) (*batch.Schema, error) {
	session, err := connect(ctx, s.config.Connection, s.env.Node)
	if err != nil {
		return nil, err
	}
	defer session.close()
	p, err := makePlan(ctx, session, s.config)
	if err != nil {
		return nil, err
	}
	return p.schema, nil
}

// Check reads no row.
func (s *source) Check(ctx context.Context) error {
	_, err := s.Discover(ctx)
	return err
}

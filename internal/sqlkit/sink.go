package sqlkit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

// Sink writes the rows of an epoch by INSERT in one transaction, which Decide commits with its
// number.
type Sink struct {
	env     connector.Env
	config  SinkConfig
	backend Backend
	task    connector.Task
	epochs  *Epochs

	data    *Session // the epoch's transaction
	admin   *Session // DDL and questions; nil when the backend is exclusive
	begun   bool     // a transaction is open
	rows    bool     // it holds rows
	staging bool     // the epoch's rows wait in temporary tables
	stages  int      // temporary tables named
	opened  bool     // counted by the backend
	targets map[string][]*target
	emptied *Emptied
	evolved []*batch.Schema // announced by Evolve
}

// target is one table as rows of one schema are written to it.
type target struct {
	name   Name
	schema *batch.Schema
	want   []batch.Type
	found  []Column // the table's columns, in the order of the rows' own
	loose  []bool   // columns of text in which SQLite keeps what looks like a number as one
	lacks  []string // columns that need a value, unless a trigger gives it
	prefix string
	suffix string
	stage  string // temporary table, quoted; made at the first use
	staged bool   // the stage holds rows of this epoch
	number int    // of the stage, ascending
}

var (
	_ connector.Decider       = (*Sink)(nil)
	_ connector.Upserter      = (*Sink)(nil)
	_ connector.SchemaEvolver = (*Sink)(nil)
	_ connector.Checker       = (*Sink)(nil)
)

// NewSink returns a sink over the backend.
func NewSink(env connector.Env, config SinkConfig, backend Backend) (*Sink, error) {
	if err := config.Validate(); err != nil {
		return nil, &connector.Error{Op: "read config", Class: connector.Permanent, Err: err}
	}
	return &Sink{
		env: env, config: config, backend: backend, targets: map[string][]*target{},
		emptied: NewEmptied(backend.Dialect),
	}, nil
}

// Key implements connector.Upserter.
func (s *Sink) Key() []string {
	if !s.config.Keyed() {
		return nil
	}
	return s.config.Key
}

// Open claims the task's fence in the epoch table.
func (s *Sink) Open(ctx context.Context, task connector.Task) error {
	op := "open table " + s.config.Table
	if s.config.Mode == Replace && task.Count > 1 {
		return &connector.Error{
			Op: op, Class: connector.Permanent,
			Err:  errors.New("mode replace empties the table once and so has one writer"),
			Hint: "set the sink's parallelism to 1",
		}
	}
	schema := ""
	if name, err := ParseName(s.config.Table); err == nil && !strings.Contains(name.Schema, "{") {
		schema = name.Schema
	}
	s.task, s.epochs = task, NewEpochs(s.backend.Dialect, schema, task)
	var err error
	if s.data, err = s.backend.Connect(ctx); err != nil {
		return err
	}
	if s.backend.Open != nil {
		s.backend.Open()
		s.opened = true
	}
	if _, err := s.data.Exec(ctx, s.epochs.DDL()); err != nil {
		return s.backend.Classify("create table "+EpochTable, err)
	}
	return s.backend.Classify(op, s.epochs.Claim(ctx, s.data))
}

// Session returns the connection of the epoch's transaction, for tests that break it.
func (s *Sink) Session() *Session { return s.data }

// control returns the connection for DDL and questions.
func (s *Sink) control(ctx context.Context) (*Session, error) {
	if s.backend.Exclusive {
		return s.data, nil
	}
	if s.admin.Alive() {
		return s.admin, nil
	}
	admin, err := s.backend.Connect(ctx)
	if err != nil {
		return nil, err
	}
	s.admin = admin
	if s.backend.Dialect == MySQL {
		// DDL would wait a day for a transaction that this process holds open.
		if _, err := admin.Exec(ctx, "SET lock_wait_timeout = 30"); err != nil {
			return nil, s.backend.Classify("open the control connection", err)
		}
	}
	return admin, nil
}

// Write inserts the chunk's rows into the epoch's transaction, all or none: "written".
func (s *Sink) Write(ctx context.Context, chunk connector.Chunk) error {
	b := chunk.Batch
	t, err := s.prepare(ctx, chunk.Table, b.Schema())
	if err != nil {
		return err
	}
	columns, bad := t.convert(b, s.backend.Dialect)
	rows := b.Selection()
	bad = append(bad, s.config.NullKeys(t.schema, columns, rows)...)
	if len(bad) > 0 {
		bad = batch.OncePerRow(bad)
		rows = b.Without(bad).Selection()
	}
	inserts, deletes, err := s.separate(t, b, columns, rows)
	if err != nil {
		return err
	}
	// A run without rows replaces what stands there too.
	empties := s.config.Mode == Replace && !s.emptied.Has(t.name)
	if len(inserts) > 0 || len(deletes) > 0 || empties {
		if err := s.write(ctx, t, columns, inserts, deletes); err != nil {
			return err
		}
	}
	if len(bad) > 0 {
		return &connector.PartialError{Rows: bad}
	}
	return nil
}

// convert brings the columns to the table's types.
func (t *target) convert(
	b *batch.Batch, d Dialect,
) (columns []*batch.Column, bad []batch.RowError) {
	columns = make([]*batch.Column, len(t.want))
	for i, want := range t.want {
		dense, refused := Convert(b.Column(i), want, b.Selection())
		refused = append(refused, checkFloats(dense, b.Selection(), d)...)
		if c := t.found[i]; c.Coarse {
			refused = append(refused, CheckFraction(dense, c.Digits, b.Selection(), c.Declared)...)
		}
		if t.loose[i] {
			refused = append(refused, checkNumbers(dense, b.Selection())...)
		}
		for k := range refused {
			refused[k].Column = t.schema.Field(i).Name
		}
		columns[i], bad = dense, append(bad, refused...)
	}
	return columns, bad
}

// checkFloats finds values the database would turn into NULL or refuse.
func checkFloats(c *batch.Column, rows []int32, d Dialect) (bad []batch.RowError) {
	if kind := c.Type().Kind; kind != batch.Float32 && kind != batch.Float64 {
		return nil
	}
	each(c.Len(), rows, func(row int) {
		v := c.Float(row)
		if !c.IsNull(row) && (math.IsNaN(v) || d == MySQL && math.IsInf(v, 0)) {
			bad = append(bad, batch.RowError{
				Row: row, Reason: fmt.Sprintf("%s cannot store %v", d, v),
			})
		}
	})
	return bad
}

// checkNumbers finds texts that would not be the same after a life as a number, as 007.
func checkNumbers(c *batch.Column, rows []int32) (bad []batch.RowError) {
	each(c.Len(), rows, func(row int) {
		text := c.Bytes(row)
		f, ok := batch.ParseFloat(bytes.TrimSpace(text))
		if c.IsNull(row) || !ok || math.IsNaN(f) || math.IsInf(f, 0) {
			return
		}
		spelled := batch.AppendFloat(nil, f, 64)
		if v, whole := batch.ParseInt(text); whole {
			spelled = strconv.AppendInt(nil, v, 10)
		}
		if !bytes.Equal(spelled, text) {
			bad = append(bad, batch.RowError{
				Row: row, Reason: fmt.Sprintf("%q would become the number %s: declare the column TEXT", text, spelled),
			})
		}
	})
	return bad
}

// separate returns the rows to insert and to delete: with a key, the last operation of each.
func (s *Sink) separate(
	t *target, b *batch.Batch, columns []*batch.Column, rows []int32,
) (inserts, deletes []int32, err error) {
	n := b.Rows()
	if rows != nil {
		n = len(rows)
	}
	all := make([]int32, n)
	for i := range all {
		all[i] = int32(i)
		if rows != nil {
			all[i] = rows[i]
		}
	}
	if !s.config.Keyed() {
		for _, row := range all {
			if b.Operation(int(row)) != batch.Insert {
				return nil, nil, &connector.Error{
					Op: "write table " + t.name.String(), Class: connector.Schema,
					Err:  errors.New("the rows hold upserts or deletes and the sink has no key"),
					Hint: "set key to the columns that identify a row",
				}
			}
		}
		return all, nil, nil
	}
	last := make(map[string]int32, n)
	var text []byte
	keys := make([]string, n)
	key := make([]*batch.Column, len(s.config.Key))
	for i, name := range s.config.Key {
		key[i] = columns[t.schema.Index(name)]
	}
	for i, row := range all {
		text = batch.AppendKey(text[:0], key, int(row))
		keys[i] = string(text)
		last[keys[i]] = row
	}
	for i, row := range all {
		switch {
		case last[keys[i]] != row:
		case b.Operation(int(row)) == batch.Delete:
			deletes = append(deletes, row)
		default:
			inserts = append(inserts, row)
		}
	}
	return inserts, deletes, nil
}

func (s *Sink) write(
	ctx context.Context, t *target, columns []*batch.Column, inserts, deletes []int32,
) error {
	op := "insert into " + t.name.String()
	apply := s.apply
	if !s.begun && !s.staging && s.backend.Contended != nil && s.backend.Contended() {
		s.staging = true
	}
	if s.staging {
		apply = s.applyStage
		if err := s.ensureStage(ctx, t); err != nil {
			return s.backend.Classify(op, err)
		}
	} else if err := s.begin(ctx, t); err != nil {
		return err
	}
	_, err := s.data.Exec(ctx, "SAVEPOINT chunk")
	if err == nil {
		err = apply(ctx, t, columns, inserts, deletes)
	}
	if err == nil {
		if _, err = s.data.Exec(ctx, "RELEASE SAVEPOINT chunk"); err == nil {
			s.rows = true
			return nil
		}
	}
	if len(t.lacks) > 0 && s.backend.NotNull(err) {
		err = &connector.Error{Op: op, Class: connector.Schema, Err: Missing(t.name, t.lacks)}
	}
	return s.undo(ctx, op, err)
}

func (s *Sink) apply(
	ctx context.Context, t *target, columns []*batch.Column, inserts, deletes []int32,
) error {
	d := s.backend.Dialect
	if len(deletes) > 0 {
		conditions := make([]string, len(s.config.Key))
		for i, name := range s.config.Key {
			conditions[i] = d.Quote(name) + " = " + d.Placeholder(i+1)
		}
		sql := "DELETE FROM " + d.QuoteName(t.name) + " WHERE " + strings.Join(conditions, " AND ")
		args := make([]any, len(s.config.Key))
		for _, row := range deletes {
			for i, name := range s.config.Key {
				args[i] = d.Bind(columns[t.schema.Index(name)], int(row))
			}
			if _, err := s.data.Exec(ctx, sql, args...); err != nil {
				return err
			}
		}
	}
	if len(inserts) == 0 {
		return nil
	}
	dense := make([]*batch.Column, len(columns))
	for i, c := range columns {
		dense[i] = c
		if len(inserts) < c.Len() {
			dense[i] = c.Gather(inserts)
		}
	}
	return s.backend.Insert(ctx, s.data, Rows{
		Prefix: t.prefix, Suffix: t.suffix, Columns: dense, Count: len(inserts),
	})
}

// begin opens the epoch's transaction at its first rows.
func (s *Sink) begin(ctx context.Context, t *target) error {
	op := "write table " + t.name.String()
	if !s.begun {
		if err := s.beginTransaction(ctx, op); err != nil {
			return err
		}
	}
	if s.config.Mode != Replace || s.emptied.Has(t.name) {
		return nil
	}
	if _, err := s.data.Exec(ctx, "DELETE FROM "+s.backend.Dialect.QuoteName(t.name)); err != nil {
		return s.undo(ctx, op, err)
	}
	s.emptied.Add(t.name)
	return nil
}

func (s *Sink) beginTransaction(ctx context.Context, op string) error {
	if !s.data.Alive() {
		data, err := s.backend.Connect(ctx)
		if err != nil {
			return err
		}
		s.data = data
	}
	if _, err := s.data.Exec(ctx, s.backend.Begin); err != nil {
		return s.backend.Classify(op, err)
	}
	s.begun, s.rows = true, false
	return nil
}

// undo takes the refused chunk back; when that fails the epoch is lost.
func (s *Sink) undo(ctx context.Context, op string, refused error) error {
	classified := s.backend.Classify(op, refused)
	if _, err := s.data.Exec(ctx, "ROLLBACK TO SAVEPOINT chunk"); err == nil {
		if s.staging { // the savepoint is the whole transaction
			_, _ = s.data.Exec(ctx, "RELEASE SAVEPOINT chunk")
		}
		return classified
	}
	lost := s.rows
	s.drop()
	if lost {
		return fmt.Errorf("%w: %w", connector.ErrEpochLost, classified)
	}
	return classified
}

// drop rolls back by closing the connection. Tables and columns that the transaction may have made
// and temporary tables go with it.
func (s *Sink) drop() {
	_ = s.data.Close()
	s.data = nil
	s.begun, s.rows, s.staging = false, false, false
	s.emptied.Rollback()
	clear(s.targets)
}

// Prepare ends the epoch: every insert of it was accepted. Rows are durable with Decide.
func (s *Sink) Prepare(ctx context.Context, epoch connector.Epoch) (connector.Prepared, error) {
	op := fmt.Sprintf("prepare epoch %d of table %s", epoch.Number, s.config.Table)
	if err := s.rehearse(ctx, op); err != nil {
		return connector.Prepared{}, err
	}
	var staged []Name // Decide empties their tables
	if s.config.Mode == Replace {
		for _, t := range s.stagedTargets() {
			staged = append(staged, t.name)
		}
	}
	token, err := s.emptied.Token(epoch.Number, staged...)
	return connector.Prepared{Token: token}, err
}

// Decide commits the epoch's rows together with its number: "committed".
func (s *Sink) Decide(ctx context.Context, epoch connector.Epoch) error {
	op := fmt.Sprintf("commit epoch %d of table %s", epoch.Number, s.config.Table)
	if !s.begun {
		if err := s.beginTransaction(ctx, op); err != nil {
			return err
		}
	}
	if err := s.publish(ctx); err != nil {
		s.drop()
		return fmt.Errorf("%w: %w", connector.ErrEpochLost, s.backend.Classify(op, err))
	}
	if err := s.epochs.Advance(ctx, s.data, epoch.Number); err != nil {
		s.drop()
		return fmt.Errorf("%w: %w", connector.ErrEpochLost, s.backend.Classify(op, err))
	}
	if _, err := s.data.Exec(ctx, "COMMIT"); err != nil {
		s.drop()
		return s.backend.Classify(op+", outcome unknown", err)
	}
	s.epochs.Committed(epoch.Number)
	s.emptied.Commit()
	s.begun, s.rows, s.staging = false, false, false
	return nil
}

// Decided asks the database.
func (s *Sink) Decided(ctx context.Context) (uint64, error) {
	if s.data == nil {
		data, err := s.backend.Connect(ctx)
		if err != nil {
			return 0, err
		}
		s.data = data
	}
	session, err := s.control(ctx)
	if err != nil {
		return 0, err
	}
	number, err := s.epochs.Decided(ctx, session)
	return number, s.backend.Classify("read the committed epoch of table "+s.config.Table, err)
}

// Commit does nothing after Decide: the rows are visible.
func (s *Sink) Commit(ctx context.Context, epoch connector.Epoch, _ []byte) error {
	if s.epochs.Last() >= epoch.Number {
		return nil
	}
	return s.Decide(ctx, epoch)
}

// Recover has nothing to publish or discard: the database rolled back what was not committed.
func (s *Sink) Recover(_ context.Context, epoch connector.Epoch, token []byte) error {
	if err := s.epochs.Recover(epoch, token); err != nil {
		return err
	}
	return s.emptied.Restore(token)
}

// Close rolls an open epoch back.
func (s *Sink) Close() error {
	if s.opened && s.backend.Close != nil {
		s.backend.Close()
		s.opened = false
	}
	return errors.Join(s.admin.Close(), s.data.Close())
}

// Check connects and looks at the table.
func (s *Sink) Check(ctx context.Context) error {
	session, err := s.backend.Connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = session.Close() }()
	if strings.Contains(s.config.Table, "{table}") {
		return nil
	}
	name, err := ParseName(s.config.Table)
	if err != nil {
		return &connector.Error{Op: "read table", Class: connector.Permanent, Err: err}
	}
	table, err := s.backend.Describe(ctx, session, name)
	if err == nil && len(table.Columns) == 0 && !s.config.Create {
		return &connector.Error{
			Op: "check table " + name.String(), Class: connector.Schema,
			Err: errors.New("the table does not exist and create is false"),
		}
	}
	return err
}

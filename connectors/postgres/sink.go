package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

type sinkConfig struct {
	Connection        `yaml:",inline"`
	sqlkit.SinkConfig `yaml:",inline"`
}

// sink writes the rows of an epoch in one transaction, which Decide commits with its number.
type sink struct {
	env    connector.Env
	config *sinkConfig
	task   connector.Task
	epochs *sqlkit.Epochs
	inline *encoder // for chunks no worker encoded
	spare  sync.Pool

	data    *session // the epoch's transaction
	begun   bool     // a transaction is open
	saved   bool     // it has a savepoint
	emptied *sqlkit.Emptied

	life context.Context // of encoders' queries: from Open to Close
	stop context.CancelFunc

	turn    chan struct{}   // full while someone uses the following three
	admin   *session        // catalog queries and DDL, committed at once
	stages  int             // temporary tables named
	evolved []*batch.Schema // announced by Evolve

	mu sync.Mutex

	targets map[string][]*target // by chunk table, one per schema
}

var (
	_ connector.Decider       = (*sink)(nil)
	_ connector.Merger        = (*sink)(nil)
	_ connector.Upserter      = (*sink)(nil)
	_ connector.SchemaEvolver = (*sink)(nil)
	_ connector.Checker       = (*sink)(nil)
)

func newSink(env connector.Env, config *sinkConfig) (connector.Sink, error) {
	if err := config.Validate(); err != nil {
		return nil, &connector.Error{Op: "read config", Class: connector.Permanent, Err: err}
	}
	return &sink{
		env: env, config: config, targets: map[string][]*target{}, turn: make(chan struct{}, 1),
		emptied: sqlkit.NewEmptied(sqlkit.Postgres),
	}, nil
}

// Key implements connector.Upserter.
func (s *sink) Key() []string {
	if !s.config.Keyed() {
		return nil
	}
	return s.config.Key
}

// Open claims the task's fence in the epoch table. Encoders work until ctx ends or Close.
func (s *sink) Open(ctx context.Context, task connector.Task) error {
	if s.config.Mode == sqlkit.Replace && task.Count > 1 {
		return &connector.Error{
			Op: "open table " + s.config.Table, Class: connector.Permanent,
			Err:  errors.New("mode replace empties the table once and so has one writer"),
			Hint: "set the sink's parallelism to 1",
		}
	}
	s.task, s.inline = task, &encoder{sink: s, spare: &s.spare}
	s.epochs = sqlkit.NewEpochs(sqlkit.Postgres, s.epochSchema(), task)
	s.life, s.stop = context.WithCancel(ctx)
	if err := s.control(ctx, s.claim); err != nil {
		return err
	}
	var err error
	s.data, err = connect(ctx, s.config.Connection, s.env.Node)
	return err
}

func (s *sink) claim(ctx context.Context, admin *session) error {
	_, found, err := admin.Int(ctx, "SELECT 1 WHERE to_regclass($1) IS NOT NULL",
		sqlkit.Postgres.QuoteName(sqlkit.Name{Schema: s.epochSchema(), Table: sqlkit.EpochTable}))
	if err == nil && !found {
		err = admin.create(ctx, s.epochs.DDL())
	}
	if err != nil {
		return classify("create table "+sqlkit.EpochTable, err)
	}
	return classify("open table "+s.config.Table, s.epochs.Claim(ctx, admin))
}

// epochSchema is where a fixed table says it is, else the default schema.
func (s *sink) epochSchema() string {
	if name, err := sqlkit.ParseName(s.config.Table); err == nil &&
		!strings.Contains(name.Schema, "{table}") {
		return name.Schema
	}
	return ""
}

// control runs use with the control connection, one caller at a time. mu is free meanwhile, so that
// workers who know their table go on.
func (s *sink) control(
	ctx context.Context, use func(ctx context.Context, admin *session) error,
) error {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-s.turn }()
	if s.admin == nil || s.admin.conn.IsClosed() {
		admin, err := connect(ctx, s.config.Connection, s.env.Node)
		if err != nil {
			return err
		}
		s.admin = admin
	}
	return use(ctx, s.admin)
}

// Write sends the chunk's rows into the epoch's transaction, all or none: "written".
func (s *sink) Write(ctx context.Context, chunk connector.Chunk) error {
	out, ok := chunk.Payload.(*frames)
	var bad []batch.RowError
	if !ok {
		var err error
		if out, bad, err = s.inline.encode(ctx, chunk.Table, chunk.Batch); err != nil {
			return err
		}
	}
	switch {
	case out.rows > 0:
		if err := s.write(ctx, out); err != nil {
			return err
		}
	case out.target != nil && s.config.Mode == sqlkit.Replace: // a run without rows replaces too
		if err := s.begin(ctx, out.target); err != nil {
			return err
		}
	}
	if len(bad) > 0 {
		return &connector.PartialError{Rows: bad}
	}
	return nil
}

func (s *sink) write(ctx context.Context, out *frames) error {
	op := "copy into " + out.target.name.String()
	if err := s.begin(ctx, out.target); err != nil {
		return err
	}
	sql := "SAVEPOINT chunk; " + out.target.statement(s.config.Key, out.deletes)
	if s.saved {
		sql = "RELEASE SAVEPOINT chunk; " + sql
	}
	w, err := newWire(ctx, s.data.conn)
	if err != nil {
		return s.broken(op, err)
	}
	stop := w.watch(ctx)
	err = w.copyIn(sql, out.target.binary, out.data)
	stop(err)
	var refused *pgconn.PgError
	switch {
	case err == nil:
		s.saved = true
		return nil
	case errors.As(err, &refused) && refused.Severity != "FATAL":
		if refused.Code == "23502" && !slices.Contains(out.target.names(), refused.ColumnName) {
			missing := sqlkit.Missing(out.target.name, []string{refused.ColumnName})
			err = &connector.Error{Op: op, Class: connector.Schema, Err: missing}
		}
		return s.undo(ctx, op, err)
	case ctx.Err() != nil:
		return s.broken(op, context.Cause(ctx))
	}
	return s.broken(op, err)
}

// beginEpoch opens a data transaction. It waits a minute for locks unless the connection says
// otherwise: another transaction of this process, which waits for this one, may hold them.
const beginEpoch = "BEGIN; SELECT set_config('lock_timeout', '60s', true) " +
	"WHERE current_setting('lock_timeout') = '0'"

// begin opens the epoch's transaction at its first rows, so that an idle sink holds no locks.
func (s *sink) begin(ctx context.Context, t *target) error {
	op := "write table " + t.name.String()
	if !s.begun {
		if s.data.conn.IsClosed() {
			data, err := connect(ctx, s.config.Connection, s.env.Node)
			if err != nil {
				return err
			}
			s.data = data
		}
		if err := s.data.run(ctx, beginEpoch); err != nil {
			s.drop()
			return classify(op, err)
		}
		s.begun, s.saved = true, false
	}
	if s.config.Mode != sqlkit.Replace || s.emptied.Has(t.name) {
		return nil
	}
	if err := s.data.run(ctx, "TRUNCATE "+sqlkit.Postgres.QuoteName(t.name)); err != nil {
		// Rows of other tables in this epoch go with the transaction.
		lost := s.saved
		_ = s.data.run(ctx, "ROLLBACK")
		s.emptied.Rollback()
		s.begun = false
		if lost {
			return fmt.Errorf("%w: %w", connector.ErrEpochLost, classify(op, err))
		}
		return classify(op, err)
	}
	s.emptied.Add(t.name)
	return nil
}

// undo takes back the refused chunk and keeps the epoch's earlier ones.
func (s *sink) undo(ctx context.Context, op string, refused error) error {
	if err := s.data.run(ctx, "ROLLBACK TO SAVEPOINT chunk"); err != nil {
		return s.broken(op, refused)
	}
	s.saved = true
	return classify(op, refused)
}

// broken gives the connection up. The epoch's rows are lost with it.
func (s *sink) broken(op string, err error) error {
	lost := s.begun
	s.drop()
	err = classify(op, sqlkit.Redact(err, s.data.secret))
	if lost {
		return fmt.Errorf("%w: %w", connector.ErrEpochLost, err)
	}
	return err
}

// drop closes the data connection; the server rolls its transaction back.
func (s *sink) drop() {
	_ = s.data.conn.Conn().Close()
	s.data.close()
	s.begun, s.saved = false, false
	s.emptied.Rollback()
}

// Close rolls an open epoch back and ends what encoders wait for.
func (s *sink) Close() error {
	if s.stop != nil {
		s.stop()
	}
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	s.data.close()
	s.admin.close()
	return nil
}

// Check connects and looks at the table.
func (s *sink) Check(ctx context.Context) error {
	session, err := connect(ctx, s.config.Connection, s.env.Node)
	if err != nil {
		return err
	}
	defer session.close()
	if strings.Contains(s.config.Table, "{table}") {
		return nil
	}
	name, err := sqlkit.ParseName(s.config.Table)
	if err != nil {
		return &connector.Error{Op: "read table", Class: connector.Permanent, Err: err}
	}
	columns, err := describeTarget(ctx, session, name)
	if err == nil && len(columns) == 0 && !s.config.Create {
		return &connector.Error{
			Op: "check table " + name.String(), Class: connector.Schema,
			Err: errors.New("the table does not exist and create is false"),
		}
	}
	return err
}

package sqlkit

import (
	"context"
	"fmt"

	"github.com/tapeline/tapeline/connector"
)

// EpochTable is the table that keeps each task's newest committed epoch.
const EpochTable = "tapeline_epochs"

// Conn is the part of a connection that Epochs needs.
type Conn interface {
	// Exec runs a statement and returns the rows it matched.
	Exec(ctx context.Context, sql string, args ...any) (int64, error)
	// Int returns the first column of the first row.
	Int(ctx context.Context, sql string, args ...any) (value int64, found bool, err error)
}

// Epochs keeps one task's epoch and fence in the target database.
//
// Protocol: Create and Claim once, outside the data transaction; Advance inside each data
// transaction just before its commit; Committed after that commit is known to have succeeded.
type Epochs struct {
	dialect Dialect
	table   Name
	task    connector.Task
	last    uint64 // newest epoch known to be committed
}

// NewEpochs returns the task's record in the given schema ("" for the default one).
func NewEpochs(dialect Dialect, schema string, task connector.Task) *Epochs {
	return &Epochs{dialect: dialect, table: Name{Schema: schema, Table: EpochTable}, task: task}
}

// DDL returns the statement that creates the table when it is missing.
func (e *Epochs) DDL() string {
	text := "text"
	if e.dialect == MySQL {
		text = "varchar(190)" // three of four key parts under InnoDB's 3072 bytes
	}
	return fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (run %s NOT NULL, node %s NOT NULL, "+
		"task integer NOT NULL, epoch bigint NOT NULL, fence bigint NOT NULL, "+
		"PRIMARY KEY (run, node, task))", e.dialect.QuoteName(e.table), text, text)
}

// where continues the parameters after n earlier ones.
func (e *Epochs) where(n int) string {
	p := e.dialect.Placeholder
	return fmt.Sprintf(" WHERE run = %s AND node = %s AND task = %s", p(n+1), p(n+2), p(n+3))
}

// Claim records the task's fence and reads its newest committed epoch. A higher fence in the table
// means that a later process owns the task.
func (e *Epochs) Claim(ctx context.Context, conn Conn) error {
	p, table := e.dialect.Placeholder, e.dialect.QuoteName(e.table)
	insert, ignore := "INSERT", " ON CONFLICT DO NOTHING"
	if e.dialect == MySQL {
		insert, ignore = "INSERT IGNORE", ""
	}
	_, err := conn.Exec(ctx, fmt.Sprintf("%s INTO %s (run, node, task, epoch, fence) "+
		"VALUES (%s, %s, %s, 0, %s)%s", insert, table, p(1), p(2), p(3), p(4), ignore),
		e.task.Run, e.task.Node, int64(e.task.Index), int64(e.task.Fence))
	if err != nil {
		return err
	}
	n, err := conn.Exec(ctx, fmt.Sprintf("UPDATE %s SET fence = %s%s AND fence <= %s",
		table, p(1), e.where(1), p(5)),
		int64(e.task.Fence), e.task.Run, e.task.Node, int64(e.task.Index), int64(e.task.Fence))
	if err != nil {
		return err
	}
	if n == 0 {
		return e.fenced("claim")
	}
	e.last, err = e.Decided(ctx, conn)
	return err
}

// Decided reads the newest committed epoch, 0 for none.
func (e *Epochs) Decided(ctx context.Context, conn Conn) (uint64, error) {
	v, _, err := conn.Int(ctx, "SELECT epoch FROM "+e.dialect.QuoteName(e.table)+e.where(0),
		e.task.Run, e.task.Node, int64(e.task.Index))
	return uint64(v), err
}

// Last returns the newest epoch known to be committed.
func (e *Epochs) Last() uint64 { return e.last }

// Recover checks that the catalog's newest epoch is the database's; a nil token means none.
func (e *Epochs) Recover(epoch connector.Epoch, token []byte) error {
	number := epoch.Number
	if token == nil {
		number = 0
	}
	if e.last == number {
		return nil
	}
	return &connector.Error{
		Op: "recover node " + e.task.Node, Class: connector.Permanent,
		Err: fmt.Errorf("the database committed epoch %d of run %s (table %s), the catalog epoch %d",
			e.last, e.task.Run, e.table, number),
		Hint: "one of the two was restored from a backup; start with --fresh",
	}
}

// Advance writes the epoch into the open data transaction: a compare-and-set on the epoch before
// and on the fence.
//
// invariant: an epoch is committed once, by the newest owner of the task.
func (e *Epochs) Advance(ctx context.Context, conn Conn, epoch uint64) error {
	if epoch <= e.last {
		return &connector.Error{
			Op: fmt.Sprintf("commit epoch %d", epoch), Class: connector.Permanent,
			Err: fmt.Errorf("epoch %d of node %s is committed already", e.last, e.task.Node),
		}
	}
	p := e.dialect.Placeholder
	n, err := conn.Exec(ctx, fmt.Sprintf("UPDATE %s SET epoch = %s%s AND epoch = %s AND fence = %s",
		e.dialect.QuoteName(e.table), p(1), e.where(1), p(5), p(6)),
		int64(epoch), e.task.Run, e.task.Node, int64(e.task.Index),
		int64(e.last), int64(e.task.Fence))
	if err != nil {
		return err
	}
	if n != 1 {
		return e.fenced(fmt.Sprintf("commit epoch %d", epoch))
	}
	return nil
}

// Committed records that the data transaction of the epoch was committed.
func (e *Epochs) Committed(epoch uint64) { e.last = epoch }

func (e *Epochs) fenced(operation string) error {
	return &connector.Error{
		Op: operation, Class: connector.Permanent,
		Err: fmt.Errorf("a later process owns node %s of run %s (table %s)",
			e.task.Node, e.task.Run, e.table),
		Hint: "this process lost its lease; stop it",
	}
}

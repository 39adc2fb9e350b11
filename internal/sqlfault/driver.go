// Package sqlfault is a driver of database/sql over another one that fails what a test chooses: what a
// full disk or a broken file does to a program can happen to it at each statement in turn.
//
// Only test files import it. One statement: database/sql -> conn.ExecContext or QueryContext -> what the
// test decides -> the driver below. A statement that fails was not run.
package sqlfault

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"sync"
)

// Op is what is asked of a database.
type Op string

// The operations. Next is the first row of a query's answer.
const (
	Begin Op = "begin"
	Exec  Op = "exec"
	Query Op = "query"
	Next  Op = "next"
)

// Driver is a driver whose operations can fail. Safe for concurrent use.
type Driver struct {
	under driver.Driver

	mu     sync.Mutex
	decide func(op Op, statement string) error
}

// Register makes a driver over a known one, which database/sql finds by name from then on.
func Register(name, under string) (*Driver, error) {
	db, err := sql.Open(under, "")
	if err != nil {
		return nil, err
	}
	d := &Driver{under: db.Driver()}
	sql.Register(name, d)
	return d, db.Close()
}

// Inject lets decide say which operations fail, and how; nil: none does.
func (d *Driver) Inject(decide func(op Op, statement string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.decide = decide
}

func (d *Driver) begin(op Op, statement string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.decide == nil {
		return nil
	}
	return d.decide(op, statement)
}

// below is what a connection must be able to do, so that nothing is lost by standing above it.
type below interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// Open opens a connection.
func (d *Driver) Open(name string) (driver.Conn, error) {
	c, err := d.under.Open(name)
	if err != nil {
		return nil, err
	}
	whole, ok := c.(below)
	if !ok {
		return nil, fmt.Errorf("a connection of %T lacks what this driver passes on", d.under)
	}
	return &conn{whole, d}, nil
}

type conn struct {
	below

	driver *Driver
}

// BeginTx begins a transaction, or fails.
func (c *conn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	if err := c.driver.begin(Begin, ""); err != nil {
		return nil, err
	}
	return c.below.BeginTx(ctx, options)
}

// ExecContext runs a statement, or fails.
func (c *conn) ExecContext(ctx context.Context, statement string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.driver.begin(Exec, statement); err != nil {
		return nil, err
	}
	return c.below.ExecContext(ctx, statement, args)
}

// QueryContext asks, or fails.
func (c *conn) QueryContext(ctx context.Context, statement string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.driver.begin(Query, statement); err != nil {
		return nil, err
	}
	answer, err := c.below.QueryContext(ctx, statement, args)
	if err != nil {
		return nil, err
	}
	return &rows{Rows: answer, driver: c.driver, statement: statement}, nil
}

type rows struct {
	driver.Rows

	driver    *Driver
	statement string
	begun     bool
}

// Next reads a row; the first one may fail.
func (r *rows) Next(row []driver.Value) error {
	if !r.begun {
		r.begun = true
		if err := r.driver.begin(Next, r.statement); err != nil {
			return err
		}
	}
	return r.Rows.Next(row)
}

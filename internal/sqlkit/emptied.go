package sqlkit

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/connector"
)

// tokenLimitBytes is what the engine keeps of a sink's token.
const tokenLimitBytes = 64 << 10

// Emptied remembers which tables mode replace emptied in this run: several chunk tables and schemas
// may share one table, and a run may meet a table late. It belongs to one sink.
//
// Protocol: Restore after opening; Add once a table was emptied in the data transaction; Token with
// each Prepare; then Commit or Rollback as the transaction went.
type Emptied struct {
	dialect   Dialect
	committed map[Name]bool
	open      map[Name]bool // in the open data transaction
}

// NewEmptied returns a record without tables.
func NewEmptied(dialect Dialect) *Emptied {
	return &Emptied{dialect: dialect, committed: map[Name]bool{}, open: map[Name]bool{}}
}

// key is the name as the database compares names. A MySQL server that ignores case is not known
// here: two spellings of one table empty it twice there.
func (e *Emptied) key(name Name) Name {
	if e.dialect == SQLite {
		return Name{strings.ToLower(name.Schema), strings.ToLower(name.Table)}
	}
	return name
}

// Has reports whether the table was emptied in this run.
func (e *Emptied) Has(name Name) bool {
	key := e.key(name)
	return e.committed[key] || e.open[key]
}

// Add records that the open data transaction emptied the table.
func (e *Emptied) Add(name Name) { e.open[e.key(name)] = true }

// Commit records that the data transaction was committed.
func (e *Emptied) Commit() {
	maps.Copy(e.committed, e.open)
	clear(e.open)
}

// Rollback records that the data transaction is gone.
func (e *Emptied) Rollback() { clear(e.open) }

// Token returns what Restore needs after the epoch: its number and the tables emptied until then,
// the named ones too.
func (e *Emptied) Token(epoch uint64, more ...Name) ([]byte, error) {
	all := map[Name]bool{}
	maps.Copy(all, e.committed)
	maps.Copy(all, e.open)
	for _, name := range more {
		all[e.key(name)] = true
	}
	names := slices.SortedFunc(maps.Keys(all), func(x, y Name) int {
		return strings.Compare(x.Schema+"\x00"+x.Table, y.Schema+"\x00"+y.Table)
	})
	token := fmt.Appendf(nil, "1 %d", epoch)
	for _, name := range names {
		token = fmt.Appendf(token, "\n%q %q", name.Schema, name.Table)
	}
	if len(token) > tokenLimitBytes {
		return nil, &connector.Error{
			Op: fmt.Sprintf("prepare epoch %d", epoch), Class: connector.Permanent,
			Err: fmt.Errorf("the names of %d emptied tables need %d bytes, the limit is %d",
				len(names), len(token), tokenLimitBytes),
			Hint: "mode replace cannot keep so many tables: write them by several sinks",
		}
	}
	return token, nil
}

// Restore goes back to a committed epoch's token; nil is the run's start.
func (e *Emptied) Restore(token []byte) error {
	clear(e.committed)
	clear(e.open)
	if token == nil {
		return nil
	}
	refuse := func(format string, args ...any) error {
		return &connector.Error{
			Op: "recover", Class: connector.Permanent, Err: fmt.Errorf(format, args...),
		}
	}
	lines := bytes.Split(token, []byte("\n"))
	var version, epoch uint64
	if _, err := fmt.Sscanf(string(lines[0]), "%d %d", &version, &epoch); err != nil || version != 1 {
		return refuse("token %.40q is not one of this version", token)
	}
	for _, line := range lines[1:] {
		var name Name
		if _, err := fmt.Sscanf(string(line), "%q %q", &name.Schema, &name.Table); err != nil {
			return refuse("token names no table in %.80q: %w", line, err)
		}
		e.committed[name] = true
	}
	return nil
}

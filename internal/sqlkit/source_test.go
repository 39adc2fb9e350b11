package sqlkit

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"testing"

	"github.com/tapeline/tapeline/connector"
)

// oneBuffer is a driver that gives its bytes out of one buffer, which each Next overwrites.
type oneBuffer struct {
	texts  []string
	buffer [8]byte
}

func (c *oneBuffer) Prepare(string) (driver.Stmt, error) { return nil, errors.New("not prepared") }
func (c *oneBuffer) Begin() (driver.Tx, error)           { return nil, errors.New("no transaction") }
func (c *oneBuffer) Close() error                        { return nil }
func (c *oneBuffer) Columns() []string                   { return []string{"k", "k"} }

func (c *oneBuffer) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return c, nil
}

func (c *oneBuffer) Next(dest []driver.Value) error {
	copy(c.buffer[:], "........")
	if len(c.texts) == 0 {
		return io.EOF
	}
	n := copy(c.buffer[:], c.texts[0])
	c.texts = c.texts[1:]
	dest[0], dest[1] = c.buffer[:n], c.buffer[:n]
	return nil
}

func TestPositionOutlivesTheDriversBytes(t *testing.T) {
	conn := &oneBuffer{texts: []string{"a", "bc", "def"}}
	backend := Backend{
		Dialect:    SQLite,
		Connect:    func(context.Context) (*Session, error) { return &Session{Conn: conn}, nil },
		Classify:   func(_ string, err error) error { return err },
		Expression: func(c Column) string { return c.Name },
		Describe: func(context.Context, *Session, Name) (Table, error) {
			return Table{Columns: []Column{{Name: "k"}}, Key: []string{"k"}}, nil
		},
	}
	env := connector.Env{Log: slog.New(slog.DiscardHandler), Budget: connector.NewBudget(connector.Limits{Rows: 10, Bytes: 1 << 20})}
	s, err := NewSource(env, SourceConfig{Table: "t"}, backend)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Open(t.Context(), connector.Partition{}, nil); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	chunk, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var at place
	if err := json.Unmarshal(chunk.Position, &at); err != nil {
		t.Fatal(err)
	}
	if want := SQLite.Value([]byte("def")); len(at.Values) != 1 || at.Values[0] != want {
		t.Errorf("position %s, want %s", chunk.Position, want)
	}
}

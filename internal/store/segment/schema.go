package segment

import (
	"errors"
	"fmt"

	"github.com/tapeline/tapeline/batch"
)

// Column is one column of a segment.
type Column struct {
	Name string
	// Type is Bool, Int32, Int64, Float64, Date, Timestamp (UTC or wall time), String or Decimal;
	// decimals of up to 18 digits are stored as 64 bits.
	Type     batch.Type
	Nullable bool
	// Symbol names a text column that is stored behind all others and holds, for foreign readers,
	// the symbol of this Int32 column's id; "" stores none. Options.Symbol gives the texts.
	Symbol string
}

// Schema is the columns of a segment. It is immutable.
type Schema struct {
	dataset string
	version int
	columns []Column
	kinds   []kind
	key     int
}

// NewSchema returns the schema of a dataset whose rows are sorted by the first key columns, which
// must be integers, dates, timestamps or texts without NULLs.
func NewSchema(dataset string, version, key int, columns ...Column) (*Schema, error) {
	if dataset == "" || version < 1 {
		return nil, errors.New("segment schema: needs a dataset and a version from 1")
	}
	if key < 1 || key > len(columns) {
		return nil, fmt.Errorf("segment schema %s: %d of %d columns as key", dataset, key, len(columns))
	}
	names, kinds := map[string]bool{}, make([]kind, len(columns))
	for i, c := range columns {
		kind, err := kindOf(c.Type)
		kinds[i] = kind
		switch {
		case err != nil:
			return nil, fmt.Errorf("segment schema %s: column %q: %w", dataset, c.Name, err)
		case i < key && (c.Nullable || !kind.ordered()):
			return nil, fmt.Errorf("segment schema %s: key column %q is a %s, which is no key "+
				"(nullable %t)", dataset, c.Name, c.Type, c.Nullable)
		case c.Symbol != "" && (kind != kindInt32 || c.Nullable):
			return nil, fmt.Errorf("segment schema %s: column %q has a symbol but is no int32 id",
				dataset, c.Name)
		}
		for _, name := range []string{c.Name, c.Symbol} {
			if names[name] && name != "" || c.Name == "" {
				return nil, fmt.Errorf("segment schema %s: column name %q is empty or twice there",
					dataset, name)
			}
			names[name] = true
		}
	}
	return &Schema{dataset, version, append([]Column(nil), columns...), kinds, key}, nil
}

// Dataset returns the dataset's name.
func (s *Schema) Dataset() string { return s.dataset }

// Version returns the version of the dataset's columns.
func (s *Schema) Version() int { return s.version }

// Columns returns the columns; the caller must not alter them.
func (s *Schema) Columns() []Column { return s.columns }

// Key returns how many leading columns the rows are sorted by.
func (s *Schema) Key() int { return s.key }

// Index returns the position of a column, or -1.
func (s *Schema) Index(name string) int {
	for i, c := range s.columns {
		if c.Name == name {
			return i
		}
	}
	return -1
}

// Equal reports whether both schemas have the same dataset, version, columns and key.
func (s *Schema) Equal(o *Schema) bool {
	if s == o {
		return true
	}
	if s.dataset != o.dataset || s.version != o.version || s.key != o.key ||
		len(s.columns) != len(o.columns) {
		return false
	}
	for i, c := range s.columns {
		d := o.columns[i]
		if c.Name != d.Name || c.Nullable != d.Nullable || c.Symbol != d.Symbol ||
			!c.Type.Equal(d.Type) {
			return false
		}
	}
	return true
}

// symbols returns the columns that have a text column behind all others, in its order.
func (s *Schema) symbols() []int {
	var out []int
	for i, c := range s.columns {
		if c.Symbol != "" {
			out = append(out, i)
		}
	}
	return out
}

// kind is how a column's values stand in a Vector and in a page.
type kind uint8

const (
	kindBool  kind = iota // Vector.Bits; PLAIN
	kindInt32             // Vector.Int32s; DELTA_BINARY_PACKED
	kindInt64             // Vector.Int64s; DELTA_BINARY_PACKED
	kindFloat             // Vector.Floats; PLAIN
	kindWide              // Vector.Wide; PLAIN of 16 bytes, big-endian
	kindText              // Vector.Offsets, Vector.Bytes; RLE_DICTIONARY
)

// narrowDigits is how many decimal digits 64 bits hold.
const narrowDigits = 18

func (k kind) ordered() bool { return k == kindInt32 || k == kindInt64 || k == kindText }

func kindOf(t batch.Type) (kind, error) {
	switch t.Kind {
	case batch.Bool:
		return kindBool, nil
	case batch.Int32, batch.Date:
		return kindInt32, nil
	case batch.Int64:
		return kindInt64, nil
	case batch.Timestamp:
		if t.Unit == batch.Second || t.Zone != "" && t.Zone != "UTC" {
			break
		}
		return kindInt64, nil
	case batch.Float64:
		return kindFloat, nil
	case batch.Decimal:
		if t.Precision > narrowDigits {
			return kindWide, nil
		}
		return kindInt64, nil
	case batch.String:
		return kindText, nil
	}
	return 0, fmt.Errorf("type %s has no form in a segment; use bool, int32, int64, float64, date, "+
		"decimal, string, or a timestamp of ms, us or ns in UTC or without zone", t)
}

package sqlkit

import (
	"fmt"
	"strings"
)

// Name is the name of a table: Schema is PostgreSQL's schema, MySQL's database or SQLite's
// attached database; "" is the connection's default.
type Name struct{ Schema, Table string }

// ParseName reads table or schema.table; parts may be enclosed in double quotes or backticks.
func ParseName(text string) (Name, error) {
	var parts []string
	rest := strings.TrimSpace(text)
	for {
		part, after, err := namePart(rest)
		if err != nil {
			return Name{}, fmt.Errorf("table name %q: %w", text, err)
		}
		parts = append(parts, part)
		if after == "" {
			break
		}
		rest = after[1:]
	}
	switch len(parts) {
	case 1:
		return Name{Table: parts[0]}, nil
	case 2:
		return Name{Schema: parts[0], Table: parts[1]}, nil
	}
	return Name{}, fmt.Errorf("table name %q: write table or schema.table", text)
}

// namePart returns the first part of a dotted name and the rest beginning with its dot.
func namePart(text string) (part, after string, err error) {
	if text == "" {
		return "", "", fmt.Errorf("a part is empty")
	}
	quote := text[0]
	if quote != '"' && quote != '`' {
		end := strings.IndexByte(text, '.')
		if end < 0 {
			return text, "", nil
		}
		if end == 0 {
			return "", "", fmt.Errorf("a part is empty")
		}
		return text[:end], text[end:], nil
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		if text[i] != quote {
			b.WriteByte(text[i])
			continue
		}
		if i+1 < len(text) && text[i+1] == quote {
			b.WriteByte(quote)
			i++
			continue
		}
		after = text[i+1:]
		if after != "" && after[0] != '.' || b.Len() == 0 {
			return "", "", fmt.Errorf("misplaced quote")
		}
		return b.String(), after, nil
	}
	return "", "", fmt.Errorf("unclosed quote")
}

// Expand replaces {table} in a table setting by the chunk's table and parses the result. A
// template without {table} stands for itself.
func Expand(template, table string) (Name, error) {
	if !strings.Contains(template, "{table}") {
		return ParseName(template)
	}
	if table == "" {
		return Name{}, fmt.Errorf("table %q: the source names no table for {table}", template)
	}
	// A source's name may be qualified by a schema of its own, which is not the target's.
	source, err := ParseName(table)
	if err != nil {
		source = Name{Table: table}
	}
	const mark = "\x00"
	name, err := ParseName(strings.ReplaceAll(template, "{table}", mark))
	if err != nil {
		return Name{}, err
	}
	name.Schema = strings.ReplaceAll(name.Schema, mark, source.Table)
	name.Table = strings.ReplaceAll(name.Table, mark, source.Table)
	return name, nil
}

// In returns the name with the schema when it has none of its own.
func (n Name) In(schema string) Name {
	if n.Schema == "" {
		n.Schema = schema
	}
	return n
}

// String returns schema.table for messages.
func (n Name) String() string {
	if n.Schema == "" {
		return n.Table
	}
	return n.Schema + "." + n.Table
}

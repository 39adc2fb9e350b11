package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/flow/spec"
)

// gotRow is one row that came out of a node.
type gotRow struct {
	b    *batch.Batch
	row  int
	used bool
}

// compareRows pairs expected rows with those that came, whatever their order; nil when all match.
func compareRows(want spec.NodeRows, batches []*batch.Batch) *TestDifference {
	var got []*gotRow
	for _, b := range batches {
		for i := range b.Len() {
			got = append(got, &gotRow{b: b, row: b.Row(i)})
		}
	}
	out := &TestDifference{Node: want.Node}
	// Rows that name more columns choose first: fewer rows can be theirs.
	rows := slices.Clone(want.Rows)
	slices.SortStableFunc(rows, func(a, b []spec.Cell) int { return len(b) - len(a) })
	for _, row := range rows {
		found := false
		for _, g := range got {
			if !g.used && g.matches(row) {
				g.used, found = true, true
				break
			}
		}
		if !found {
			out.Missing = append(out.Missing, rowText(row))
			if reason := missingColumn(row, batches); reason != "" {
				out.Reason = reason
			}
		}
	}
	for _, g := range got {
		if !g.used {
			out.Extra = append(out.Extra, batch.AppendRow(nil, g.b, g.row))
		}
	}
	if len(out.Missing)+len(out.Extra) == 0 {
		return nil
	}
	return out
}

func missingColumn(row []spec.Cell, batches []*batch.Batch) string {
	if len(batches) == 0 {
		return ""
	}
	schema := batches[0].Schema()
	for _, cell := range row {
		if schema.Index(cell.Column) < 0 {
			return fmt.Sprintf("there is no column %q; the columns are (%s)", cell.Column, schema)
		}
	}
	return ""
}

// matches compares the columns an expected row names; null also stands for a missing column.
func (g *gotRow) matches(row []spec.Cell) bool {
	for _, cell := range row {
		at := g.b.Schema().Index(cell.Column)
		null := cell.Value == nil || cell.Value.Kind == spec.KindNull
		if at < 0 || g.b.Column(at).IsNull(g.row) {
			if null {
				continue
			}
			return false
		}
		if null || !equalValue(g.b.Column(at), g.row, cell.Value) {
			return false
		}
	}
	return true
}

// equalValue reads an expected value as the column's type and compares what both are written as.
func equalValue(c *batch.Column, row int, want *spec.Value) bool {
	typ := c.Type()
	text := valueText(want)
	if typ.Nested() || typ.Kind == batch.JSON {
		return sameJSON(batch.AppendJSON(nil, c, row), text)
	}
	if want.Kind == spec.KindList || want.Kind == spec.KindMap {
		return false
	}
	a := batch.NewAppender(typ)
	var plain string
	if json.Unmarshal(text, &plain) != nil {
		plain = string(text)
	}
	if err := a.Any(plain); err != nil {
		return false
	}
	return string(batch.AppendText(nil, a.Column(), 0)) == string(batch.AppendText(nil, c, row))
}

func sameJSON(a, b []byte) bool { return normalJSON(a) == normalJSON(b) }

// normalJSON writes JSON with sorted members and numbers by value, with all their digits.
func normalJSON(text []byte) string {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return string(text)
	}
	out, err := json.Marshal(normalNumbers(value))
	if err != nil {
		return string(text)
	}
	return string(out)
}

func normalNumbers(value any) any {
	switch v := value.(type) {
	case json.Number:
		if !strings.ContainsAny(string(v), "eE") {
			return json.Number(trimZeros([]byte(v)))
		}
	case []any:
		for i := range v {
			v[i] = normalNumbers(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = normalNumbers(v[key])
		}
	}
	return value
}

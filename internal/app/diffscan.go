package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/plan"
)

// canonical appends the text by which diff compares a value:
//   - numbers of any type by value, without trailing zeros or exponent: 1.50 = 1.5, 2 = 2.0;
//   - moments in UTC without trailing zeros of the fraction; one without zone stays without, and
//     beside a column with one counts as UTC;
//   - text as it is, so that "1.50" and "1.5" in text columns differ;
//   - JSON and nested values with sorted members; binary in base64; true and false;
//   - NULL, which equals only NULL.
func canonical(dst []byte, c *batch.Column, row int) []byte {
	if c.IsNull(row) {
		return append(dst, 0)
	}
	typ := c.Type()
	mark := len(dst)
	switch {
	case typ.Kind == batch.Float64 || typ.Kind == batch.Float32:
		v := c.Float(row)
		if v == 0 { // also -0
			return append(dst, '0')
		}
		return strconv.AppendFloat(dst, v, 'f', -1, typ.Width()*8)
	case typ.Kind == batch.Decimal:
		dst = batch.AppendText(dst, c, row)
		return append(dst[:mark], trimZeros(dst[mark:])...)
	case typ.Kind == batch.Timestamp:
		if typ.Zone != "" {
			typ.Zone = "UTC"
		}
		dst = batch.AppendTimestamp(dst, c.Int(row), typ)
		zone := bytes.HasSuffix(dst[mark:], []byte("Z"))
		if zone {
			dst = dst[:len(dst)-1]
		}
		dst = append(dst[:mark], trimZeros(dst[mark:])...)
		if zone {
			dst = append(dst, 'Z')
		}
		return dst
	case typ.Kind == batch.Time:
		dst = batch.AppendText(dst, c, row)
		return append(dst[:mark], trimZeros(dst[mark:])...)
	case typ.Kind == batch.JSON || typ.Nested():
		return append(dst, normalJSON(batch.AppendJSON(nil, c, row))...)
	}
	return batch.AppendText(dst, c, row)
}

// trimZeros drops zeros at the end of a fraction, and a point that nothing follows.
func trimZeros(text []byte) []byte {
	if bytes.IndexByte(text, '.') < 0 {
		return text
	}
	return bytes.TrimSuffix(bytes.TrimRight(text, "0"), []byte("."))
}

// appendCanonical appends a row's values, each with its length.
func appendCanonical(dst []byte, columns []*batch.Column, row int) []byte {
	for _, c := range columns {
		mark := len(dst)
		dst = append(dst, 0, 0, 0, 0)
		dst = canonical(dst, c, row)
		binary.BigEndian.PutUint32(dst[mark:], uint32(len(dst)-mark-4))
	}
	return dst
}

// rowSum is 128 bits of a hash, added up independently of order.
type rowSum [2]uint64

func (s *rowSum) add(o rowSum) {
	s[0] += o[0]
	s[1] += o[1]
}

func sumOf(text []byte) rowSum {
	sum := sha256.Sum256(text)
	return rowSum{binary.BigEndian.Uint64(sum[:]), binary.BigEndian.Uint64(sum[8:])}
}

// diffBuckets is the number of hash buckets whose sums are compared, a power of two.
const diffBuckets = 1 << 16

type bucket struct {
	sum  rowSum
	rows int64
}

// bucketSums are the sums of all rows by bucket.
type bucketSums struct {
	mu      sync.Mutex
	rows    int64
	buckets []bucket
}

// looker is what a scan does with the rows of one side.
type looker struct {
	reset func()                          // an attempt begins, from the start
	make  func() func(*batch.Batch) error // for each worker
}

// diffSink hands batches to a looker.
type diffSink struct{ looker }

var (
	_ connector.Encoder       = (*diffSink)(nil)
	_ connector.SchemaEvolver = (*diffSink)(nil)
)

// NewEncode lets the workers do the hashing.
func (s *diffSink) NewEncode() connector.EncodeFunc {
	look := s.make()
	return func(chunk connector.Chunk) (connector.Chunk, error) {
		return chunk, look(chunk.Batch)
	}
}

// Open begins an attempt.
func (s *diffSink) Open(context.Context, connector.Task) error {
	s.reset()
	return nil
}

// Evolve does nothing: each batch has its schema.
func (s *diffSink) Evolve(context.Context, *batch.Schema, *batch.Schema) error { return nil }

// Write does nothing: the rows were looked at.
func (s *diffSink) Write(context.Context, connector.Chunk) error { return nil }

// Close does nothing.
func (s *diffSink) Close() error { return nil }

// scan reads one side.
func (x *differ) scan(ctx context.Context, side diffSide, look looker) error {
	w, err := x.workflow(side, &plan.Node{
		ID: "diff", Type: "diff", Kind: plan.Destination, OnError: plan.Fail,
		SinkSpec: connector.SinkCapabilities{SchemaEvolution: true, Selection: true},
		NewSink:  func(connector.Env) (connector.Sink, error) { return &diffSink{look}, nil },
	})
	if err != nil {
		return err
	}
	if _, err := x.scratch.run(ctx, w); err != nil {
		return fmt.Errorf("%s: %w", redacted(side.address), err)
	}
	return nil
}

// schema returns a side's columns with their types as A; none when it has no rows.
func (x *differ) schema(
	ctx context.Context, address string, set map[string]any,
) ([]DiffColumn, error) {
	kept := &capture{}
	w, err := x.workflow(diffSide{address, set}, kept.node("diff", plan.Input{}))
	if err != nil {
		return nil, err
	}
	limit, err := x.parts.limitNode("limit", 1)
	if err != nil {
		return nil, err
	}
	sink := w.Nodes[len(w.Nodes)-1]
	limit.Inputs, sink.Inputs = sink.Inputs, []plan.Input{{Node: limit.ID}}
	w.Nodes = append(w.Nodes, limit)
	if _, err := x.scratch.run(ctx, w); err != nil {
		return nil, fmt.Errorf("%s: %w", redacted(address), err)
	}
	var out []DiffColumn
	for _, b := range kept.batches {
		for _, f := range b.Schema().Fields() {
			out = append(out, DiffColumn{Name: f.Name, A: f.Type.String()})
		}
	}
	return out, nil
}

// typed returns the compared columns of a batch.
func (x *differ) typed(b *batch.Batch) ([]*batch.Column, error) {
	columns := make([]*batch.Column, len(x.columns))
	for i, name := range x.columns {
		at := b.Schema().Index(name)
		if at < 0 {
			return nil, fmt.Errorf("column %q is missing in some rows (%s)", name, b.Schema())
		}
		c := b.Column(at)
		if c.Lazy() {
			dense, bad := c.Typed(b.Selection())
			if len(bad) > 0 && c.Type().Kind == batch.Decimal {
				dense, bad = plainNumbers(c, b.Selection())
			}
			if len(bad) > 0 {
				return nil, fmt.Errorf("%s: column %s: %s",
					b.Origin().At(bad[0].Row), name, bad[0].Reason)
			}
			c = dense
		}
		if typ := c.Type(); x.wall[name] && typ.Kind == batch.Timestamp {
			c = batch.FixedColumn(batch.TimestampOf(typ.Unit, ""), batch.Values[int64](c), c.Validity())
		}
		columns[i] = c
	}
	return columns, nil
}

// plainNumbers returns the canonical texts of a text file's numbers, where they have more digits than
// the decimal type they were taken for.
func plainNumbers(c *batch.Column, selection []int32) (*batch.Column, []batch.RowError) {
	spans, cell := c.Spans()
	selected := map[int]bool{}
	for _, row := range selection {
		selected[int(row)] = true
	}
	var bad []batch.RowError
	out := batch.NewAppender(batch.Of(batch.String))
	for row := range c.Len() {
		text, null, _ := spans.Text(row, cell, nil)
		plain, ok := plainNumber(string(text))
		if null || !ok || selection != nil && !selected[row] {
			out.Null()
		} else {
			out.Text(plain)
		}
		if !null && !ok && (selection == nil || selected[row]) {
			bad = append(bad, batch.RowError{Row: row, Reason: fmt.Sprintf("%q is not a number", text)})
		}
	}
	return out.Column(), bad
}

var numberText = regexp.MustCompile(`^([+-]?)(\d*)\.?(\d*)(?:[eE]([+-]?\d{1,4}))?$`)

// plainNumber writes a decimal number without exponent and needless zeros, with all its digits.
func plainNumber(text string) (string, bool) {
	parts := numberText.FindStringSubmatch(text)
	if parts == nil || parts[2]+parts[3] == "" {
		return "", false
	}
	exponent, _ := strconv.Atoi(parts[4])
	digits, point := parts[2]+parts[3], len(parts[2])+exponent
	if point < 0 {
		digits, point = strings.Repeat("0", -point)+digits, 0
	}
	if point > len(digits) {
		digits += strings.Repeat("0", point-len(digits))
	}
	whole := strings.TrimLeft(digits[:point], "0")
	fraction := strings.TrimRight(digits[point:], "0")
	if whole == "" {
		whole = "0"
	}
	if fraction != "" {
		whole += "." + fraction
	}
	if parts[1] == "-" && whole != "0" {
		whole = "-" + whole
	}
	return whole, true
}

// hashing adds rows to sums.
func (x *differ) hashing(sums *bucketSums) looker {
	reset := func() { sums.rows, sums.buckets = 0, make([]bucket, diffBuckets) }
	return looker{reset, func() func(*batch.Batch) error {
		var scratch []byte
		return func(b *batch.Batch) error {
			columns, err := x.typed(b)
			if err != nil {
				return err
			}
			type hashed struct {
				at  uint32
				sum rowSum
			}
			rows := make([]hashed, b.Len())
			for i := range rows {
				var at uint32
				scratch, at, rows[i].sum = x.place(scratch, columns, b.Row(i))
				rows[i].at = at
			}
			sums.mu.Lock()
			defer sums.mu.Unlock()
			sums.rows += int64(len(rows))
			for _, r := range rows {
				sums.buckets[r.at].sum.add(r.sum)
				sums.buckets[r.at].rows++
			}
			return nil
		}
	}}
}

// place returns the bucket and the sum of a row: the bucket of its key, or of all of it.
func (x *differ) place(
	scratch []byte, columns []*batch.Column, row int,
) (grown []byte, at uint32, sum rowSum) {
	scratch = appendCanonical(scratch[:0], columns, row)
	sum = sumOf(scratch)
	at = uint32(sum[0]) % diffBuckets
	if n := len(x.diff.Key); n > 0 {
		scratch = appendCanonical(scratch[:0], columns[:n], row)
		at = uint32(sumOf(scratch)[0]) % diffBuckets
	}
	return scratch, at, sum
}

// diffRow is a row of a differing bucket, by its canonical cells.
type diffRow struct {
	cells []string // of the compared columns
}

func (r diffRow) key(n int) string { return strings.Join(r.cells[:n], "\x00\x01") }

// collecting keeps the rows of the buckets.
func (x *differ) collecting(buckets map[uint32]bool, into *[]diffRow) looker {
	var mu sync.Mutex
	return looker{func() { *into = nil }, func() func(*batch.Batch) error {
		var scratch []byte
		return func(b *batch.Batch) error {
			columns, err := x.typed(b)
			if err != nil {
				return err
			}
			for i := range b.Len() {
				var at uint32
				scratch, at, _ = x.place(scratch, columns, b.Row(i))
				if !buckets[at] {
					continue
				}
				cells := make([]string, len(columns))
				for k, c := range columns {
					cells[k] = string(canonical(nil, c, b.Row(i)))
				}
				mu.Lock()
				*into = append(*into, diffRow{cells})
				mu.Unlock()
			}
			return nil
		}
	}}
}

// differingBuckets returns buckets whose sums differ, as many as hold no more rows than are held
// in memory; all reports whether these are all of them.
func differingBuckets(a, b *bucketSums) (found map[uint32]bool, all bool) {
	found = map[uint32]bool{}
	rows := int64(0)
	for i := range a.buckets {
		if a.buckets[i] == b.buckets[i] {
			continue
		}
		rows += a.buckets[i].rows + b.buckets[i].rows
		if rows > mostDiffRows && len(found) > 0 {
			return found, false
		}
		found[uint32(i)] = true
	}
	return found, true
}

// examples fills in the differing rows.
func (x *differ) examples(ctx context.Context, sums [2]*bucketSums, out *DiffResult) error {
	buckets, all := differingBuckets(sums[0], sums[1])
	out.Exact = all
	var rows [2][]diffRow
	for i, side := range x.sides() {
		if err := x.scan(ctx, side, x.collecting(buckets, &rows[i])); err != nil {
			return err
		}
		slices.SortFunc(rows[i], func(a, b diffRow) int { return slices.Compare(a.cells, b.cells) })
	}
	onlyA, onlyB := withoutCommon(rows[0], rows[1])
	if n := len(x.diff.Key); n > 0 {
		onlyA, onlyB = x.changes(onlyA, onlyB, n, out)
	}
	out.Counts.OnlyInA, out.Counts.OnlyInB = len(onlyA), len(onlyB)
	for _, r := range onlyA[:min(len(onlyA), x.diff.Examples)] {
		out.OnlyInA = append(out.OnlyInA, x.object(r))
	}
	for _, r := range onlyB[:min(len(onlyB), x.diff.Examples)] {
		out.OnlyInB = append(out.OnlyInB, x.object(r))
	}
	return nil
}

// withoutCommon removes what two sorted lists have in common, each row once for each.
func withoutCommon(a, b []diffRow) (onlyA, onlyB []diffRow) {
	for len(a) > 0 && len(b) > 0 {
		switch c := slices.Compare(a[0].cells, b[0].cells); {
		case c == 0:
			a, b = a[1:], b[1:]
		case c < 0:
			onlyA, a = append(onlyA, a[0]), a[1:]
		default:
			onlyB, b = append(onlyB, b[0]), b[1:]
		}
	}
	return append(onlyA, a...), append(onlyB, b...)
}

// changes takes out pairs of rows with one key.
func (x *differ) changes(a, b []diffRow, n int, out *DiffResult) (onlyA, onlyB []diffRow) {
	byKey := map[string][]diffRow{}
	for _, r := range b {
		byKey[r.key(n)] = append(byKey[r.key(n)], r)
	}
	for _, r := range a {
		others := byKey[r.key(n)]
		if len(others) == 0 {
			onlyA = append(onlyA, r)
			continue
		}
		byKey[r.key(n)] = others[1:]
		out.Counts.Changed++
		if len(out.Changed) < x.diff.Examples {
			out.Changed = append(out.Changed, x.change(r, others[0], n))
		}
	}
	for _, r := range b {
		if rest := byKey[r.key(n)]; len(rest) > 0 && slices.Equal(rest[0].cells, r.cells) {
			byKey[r.key(n)] = rest[1:]
			onlyB = append(onlyB, r)
		}
	}
	return onlyA, onlyB
}

func (x *differ) change(a, b diffRow, n int) DiffChange {
	c := DiffChange{Key: map[string]any{}, Columns: map[string]map[string]any{}}
	for i, name := range x.columns {
		switch {
		case i < n:
			c.Key[name] = shown(a.cells[i])
		case a.cells[i] != b.cells[i]:
			c.Columns[name] = map[string]any{"a": shown(a.cells[i]), "b": shown(b.cells[i])}
		}
	}
	return c
}

func (x *differ) object(r diffRow) map[string]any {
	object := make(map[string]any, len(r.cells))
	for i, text := range r.cells {
		object[x.columns[i]] = shown(text)
	}
	return object
}

// shown is a canonical cell for people: NULL is nil.
func shown(text string) any {
	if text == "\x00" {
		return nil
	}
	return text
}

// hasKey reports whether a config struct has the key.
func hasKey(config any, key string) bool {
	return slices.ContainsFunc(connector.Fields(config), func(f connector.Field) bool {
		return f.Key == key
	})
}

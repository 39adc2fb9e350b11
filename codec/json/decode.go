package json

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

// Reader is what the decoders of one source share: the schema, which may grow, and memory.
type Reader struct {
	options Options
	schema  atomic.Pointer[batch.Schema]
	pool    sync.Pool // of *memory

	mu sync.Mutex // held while the schema grows
}

// memory is the recycled backing of one batch.
type memory struct{ offsets []uint32 }

// NewReader returns a reader. A schema with two columns of one name is an error, as is a column
// named CaptureField under Capture.
func NewReader(options Options) (*Reader, error) {
	seen := map[string]bool{CaptureField: options.Extra == Capture && !options.Whole}
	for _, f := range options.Schema.Fields() {
		if seen[f.Name] {
			return nil, fmt.Errorf("column %q stands twice in the schema", f.Name)
		}
		seen[f.Name] = true
	}
	if options.Whole && options.Schema.Len() != 1 {
		return nil, fmt.Errorf("whole records need one column, the schema has %d", options.Schema.Len())
	}
	r := &Reader{options: options}
	r.schema.Store(options.Schema)
	r.pool.New = func() any { return &memory{} }
	return r, nil
}

// Known returns the schema that blocks read from now on begin with.
func (r *Reader) Known() *batch.Schema { return r.schema.Load() }

// Schema returns the schema of the newest batch, with CaptureField under Capture.
func (r *Reader) Schema() *batch.Schema { return r.outer(r.schema.Load()) }

func (r *Reader) outer(schema *batch.Schema) *batch.Schema {
	if r.options.Extra != Capture || r.options.Whole {
		return schema
	}
	fields := append(slices.Clone(schema.Fields()), batch.Field{
		Name: CaptureField, Type: batch.Of(batch.JSON), Nullable: true,
	})
	return batch.NewSchema(fields...)
}

// grow adds columns for members that a block has beyond schema and returns the schema to read the
// block with, which another decoder may have grown already.
func (r *Reader) grow(schema *batch.Schema, unknown map[string]bool, block Block) *batch.Schema {
	r.mu.Lock()
	defer r.mu.Unlock()
	newest := r.schema.Load()
	var missing []string
	for name := range unknown {
		if newest.Index(name) < 0 {
			missing = append(missing, name)
		}
	}
	room := max(0, MaxFields-newest.Len())
	if len(missing) == 0 || room == 0 {
		return newest
	}
	added := inferMembers(block, r.options, missing)
	if len(added) == 0 {
		return newest
	}
	fields := append(slices.Clone(newest.Fields()), added[:min(room, len(added))]...)
	grown := batch.NewSchema(fields...).WithMetadata(newest.Metadata())
	r.schema.Store(grown)
	return grown
}

// Decoder decodes blocks; it belongs to one goroutine.
type Decoder struct {
	reader *Reader
	inner  *batch.Schema // what scanner knows
	outer  *batch.Schema
	scan   *scanner
	decode func(*batch.Spans, int, batch.Type, []int32) (*batch.Column, []batch.RowError)
	mean   int  // bytes a record, of the last block
	stale  bool // scan was made for one block only
}

// NewDecoder returns a decoder with scratch of its own.
func (r *Reader) NewDecoder() *Decoder {
	d := &Decoder{reader: r, decode: nestedDecoder(r.options.Extra)}
	d.prepare(r.schema.Load())
	return d
}

func (d *Decoder) prepare(schema *batch.Schema) {
	d.inner, d.outer = schema, d.reader.outer(schema)
	d.scan = newScanner(schema, d.reader.options.Extra, d.reader.options.Whole)
	d.stale = false
}

// Result is one decoded block.
type Result struct {
	Batch    *batch.Batch // lazy columns over the block's bytes
	Rejected []connector.Rejected
	// Release gives the batch's memory back; the block's bytes are the caller's.
	Release func()
}

// maxRecord bounds the text of a rejected record.
const maxRecord = 64 << 10

// Decode returns the records of a block as rows. An error means that the records after it cannot
// be told apart; what is wrong with one record alone is in Rejected.
func (d *Decoder) Decode(block Block) (Result, error) {
	known := block.Known
	if known == nil {
		known = d.reader.Known()
	}
	if known != d.inner || d.stale {
		d.prepare(known)
	}
	p, err := d.pass(block)
	if err != nil {
		return Result{}, err
	}
	for len(d.scan.unknown) > 0 {
		grown := d.reader.grow(d.inner, d.scan.unknown, block)
		full := grown == d.inner
		d.prepare(grown)
		if full {
			d.scan.extra, d.stale = Refuse, true
		}
		d.reader.pool.Put(p.memory)
		if p, err = d.pass(block); err != nil {
			return Result{}, err
		}
	}
	return d.result(block, p), nil
}

// pass is one walk over a block.
type pass struct {
	memory   *memory
	offsets  []uint32
	rows     int
	lines    []int32 // of each row relative to the block's; nil while row i is on line i
	captured capture
	rejected []connector.Rejected
}

func (d *Decoder) pass(block Block) (*pass, error) {
	mem := d.reader.pool.Get().(*memory)
	p := &pass{memory: mem, offsets: mem.offsets[:0]}
	d.scan.escaped = false
	if d.mean > 0 {
		p.offsets = slices.Grow(p.offsets, (len(block.Data)/d.mean+16)*d.stride())
	}
	var err error
	if d.reader.options.Layout == Lines {
		d.passLines(block, p)
	} else {
		err = d.passValues(block, p)
	}
	mem.offsets = p.offsets
	if n := p.rows + len(p.rejected); n > 0 {
		d.mean = max(1, len(block.Data)/n)
	}
	return p, err
}

func (d *Decoder) stride() int { return max(2, 2*d.scan.named) }

func (d *Decoder) passLines(block Block, p *pass) {
	data := block.Data
	line := int32(0)
	for at := 0; at < len(data); line++ {
		end := bytes.IndexByte(data[at:], '\n')
		if end < 0 {
			end = len(data)
		} else {
			end += at
		}
		text := data[:end]
		if i := skipSpace(text, at); i < end {
			after, why := d.row(text, i, p, line)
			if why == valid {
				if after < end {
					after = skipSpace(text, after)
				}
				if after == end {
					p.rows++
				} else {
					why = trailing
				}
			}
			if why != valid {
				d.reject(block, p, text[i:], after-at, line, why)
			}
		}
		at = end + 1
	}
}

// row scans the record at text[i] into the next row, which counts when the caller says so.
func (d *Decoder) row(text []byte, i int, p *pass, line int32) (end int, why reason) {
	stride := d.stride()
	base := p.rows * stride
	if cap(p.offsets) < base+stride {
		p.offsets = slices.Grow(p.offsets[:base], stride)
	}
	p.offsets = p.offsets[:base+stride]
	row := p.offsets[base:]
	clear(row)
	d.scan.strange = d.scan.strange[:0]
	end, why = d.scan.record(text, i, row)
	if why != valid {
		p.offsets = p.offsets[:base]
		return end, why
	}
	if p.lines != nil {
		p.lines = append(p.lines[:p.rows], line)
	} else if int(line) != p.rows {
		p.lines = make([]int32, p.rows+1, p.rows+64)
		for k := range p.rows {
			p.lines[k] = int32(k)
		}
		p.lines[p.rows] = line
	}
	if d.scan.extra == Capture && !d.scan.whole {
		p.captured.add(text, p.rows, d.scan.strange)
	}
	return end, valid
}

func (d *Decoder) reject(
	block Block, p *pass, record []byte, column int, line int32, why reason,
) {
	p.offsets = p.offsets[:p.rows*d.stride()]
	text := why.String()
	switch why {
	case notObject:
		text = "the record is " + d.scan.offense + ", want an object"
	case unknownMember:
		text = "the schema has no member " + d.scan.offense
	default:
		text = fmt.Sprintf("no JSON at column %d: %s", column+1, text)
	}
	record = bytes.TrimRight(record, "\r")
	p.rejected = append(p.rejected, connector.Rejected{
		Place:  batch.Place{Name: block.Name, Line: lineOf(block, line)},
		Reason: text, Record: string(record[:min(len(record), maxRecord)]),
	})
}

func lineOf(block Block, line int32) int64 {
	if block.Line == 0 {
		return 0
	}
	return block.Line + int64(line)
}

// result makes the batch of a pass.
func (d *Decoder) result(block Block, p *pass) Result {
	stride := d.stride()
	spans := &batch.Spans{
		Data: block.Data, Offsets: p.offsets[:p.rows*stride], Stride: stride, Step: 2,
		Syntax: batch.Token, Clean: !d.scan.escaped, Decode: d.decode,
	}
	fields := d.outer.Fields()
	columns := make([]*batch.Column, len(fields))
	for i, f := range fields {
		if i == d.scan.named {
			columns[i] = p.captured.column(p.rows)
			continue
		}
		columns[i] = batch.LazyColumn(f.Type, spans, i)
	}
	origin := &batch.Origin{Name: block.Name, Line: block.Line, Lines: p.lines}
	if p.lines != nil {
		origin.Lines = p.lines[:p.rows]
	}
	memory := p.memory
	return Result{
		Batch:    batch.New(d.outer, columns, p.rows).WithOrigin(origin),
		Rejected: p.rejected,
		Release:  func() { d.reader.pool.Put(memory) },
	}
}

// capture collects, for Capture, the members that the schema does not name.
type capture struct {
	offsets []int32
	bytes   []byte
	some    bool
}

func (c *capture) add(text []byte, row int, members []extraMember) {
	if c.offsets == nil {
		c.offsets = append(c.offsets, 0)
	}
	// A record that was rejected after all left its entry here.
	c.offsets = c.offsets[:row+1]
	c.bytes = c.bytes[:c.offsets[row]]
	for i, m := range members {
		separator := byte(',')
		if i == 0 {
			separator = '{'
		}
		c.bytes = append(append(c.bytes, separator), text[m.keyAt:m.keyEnd]...)
		c.bytes = append(append(c.bytes, ':'), text[m.valueAt:m.valueEnd]...)
		c.some = true
	}
	if len(members) > 0 {
		c.bytes = append(c.bytes, '}')
	}
	c.offsets = append(c.offsets, int32(len(c.bytes)))
}

func (c *capture) column(rows int) *batch.Column {
	if rows == 0 || !c.some {
		return batch.NullColumn(batch.Of(batch.JSON), rows)
	}
	valid := batch.NewBitmap(rows)
	for i := range rows {
		if c.offsets[i] < c.offsets[i+1] {
			valid.Set(i)
		}
	}
	return batch.TextColumn(batch.Of(batch.JSON), c.offsets[:rows+1], c.bytes, valid)
}

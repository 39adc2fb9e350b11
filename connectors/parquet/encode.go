package parquet

import (
	"bytes"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/codec/container"
	"github.com/tapeline/tapeline/connector"
)

// form is how batches of one schema are encoded.
type form struct {
	schema *batch.Schema
	arrow  *arrow.Schema
	cfg    *SinkConfig
}

// newForm refuses schemas that Parquet cannot hold.
func newForm(schema *batch.Schema, cfg *SinkConfig) (*form, error) {
	f := &form{schema: schema, arrow: batch.ArrowSchema(schema), cfg: cfg}
	err := container.Guard("schema", func() error {
		_, err := pqarrow.NewFileWriter(f.arrow, &bytes.Buffer{}, f.properties(nil), arrowProperties())
		return err
	})
	if err == nil && schema.Len() == 0 {
		err = fmt.Errorf("there are no columns")
	}
	if err != nil {
		return nil, &connector.Error{
			Op: "write parquet", Class: connector.Schema, Code: "parquet_schema",
			Err:  fmt.Errorf("columns (%s): %w", schema, err),
			Hint: "cast or drop the column before this sink",
		}
	}
	return f, nil
}

// rowGroup is rows on their way to one row group.
type rowGroup struct {
	form    *form
	records []arrow.RecordBatch
	rows    int
	bytes   int
}

// encoded is a row group as a file of its own.
type encoded struct {
	data   []byte
	footer *metadata.FileMetaData
	end    int64 // of the pages in data
}

func (g *rowGroup) encode() (*encoded, error) {
	out := bytes.NewBuffer(make([]byte, 0, g.bytes/2+4096))
	w, err := pqarrow.NewFileWriter(g.form.arrow, out, g.form.properties(g.records), arrowProperties())
	if err != nil {
		return nil, err
	}
	if err := w.NewRowGroupChecked(); err != nil {
		return nil, err
	}
	for i, field := range g.form.arrow.Fields() {
		pieces := make([]arrow.Array, len(g.records))
		for k, record := range g.records {
			pieces[k] = record.Column(i)
		}
		if err := w.WriteColumnChunked(arrow.NewChunked(field.Type, pieces), 0, int64(g.rows)); err != nil {
			return nil, fmt.Errorf("column %s: %w", field.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	e := &encoded{data: out.Bytes()}
	e.footer, e.end, err = readFooter(bytes.NewReader(e.data), int64(len(e.data)))
	return e, err
}

// empty returns a file without row groups.
func (f *form) empty() ([]byte, error) {
	var out bytes.Buffer
	err := container.Guard("empty file", func() error {
		w, err := pqarrow.NewFileWriter(f.arrow, &out, f.properties(nil), arrowProperties())
		if err != nil {
			return err
		}
		return w.Close()
	})
	return out.Bytes(), err
}

// properties are settings of one row group; records may be nil.
func (f *form) properties(records []arrow.RecordBatch) *parquet.WriterProperties {
	options := []parquet.WriterProperty{
		parquet.WithVersion(parquet.V2_LATEST),
		parquet.WithDataPageVersion(parquet.DataPageV2),
		parquet.WithCompression(codecOf(f.cfg.Compression)),
		parquet.WithCompressionLevel(levelOf(f.cfg.Compression)),
		parquet.WithCreatedBy("tapeline"),
		parquet.WithMaxRowGroupLength(maxRowGroupRows),
		parquet.WithStats(true),
		parquet.WithStoreDecimalAsInteger(true),
		parquet.WithDictionaryDefault(f.cfg.Dictionary == "always"),
	}
	if f.cfg.Dictionary != "always" && f.cfg.Dictionary != "never" && len(records) > 0 {
		for i, field := range f.arrow.Fields() {
			if repeats(records[0].Column(i)) {
				options = append(options, parquet.WithDictionaryFor(field.Name, true))
			}
		}
	}
	return parquet.NewWriterProperties(options...)
}

// repeats judges by a sample whether a text column has few distinct values.
func repeats(column arrow.Array) bool {
	const sample = 1024
	text, ok := column.(interface{ Value(i int) string })
	if _, isString := column.(*array.String); !ok || !isString {
		return false
	}
	rows := min(column.Len(), sample)
	seen := make(map[string]struct{}, rows)
	for i := range rows {
		if column.IsValid(i) {
			seen[text.Value(i)] = struct{}{}
		}
	}
	return len(seen) <= rows/4
}

func arrowProperties() pqarrow.ArrowWriterProperties {
	return pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema())
}

func codecOf(compression string) compress.Compression {
	switch compression {
	case "none":
		return compress.Codecs.Uncompressed
	case "snappy":
		return compress.Codecs.Snappy
	case "gzip":
		return compress.Codecs.Gzip
	}
	return compress.Codecs.Zstd
}

// sizeOf returns about how many bytes a column's values take.
func sizeOf(c *batch.Column) int {
	if c.Type().Text() {
		offsets, _ := c.Text()
		return int(offsets[c.Len()]-offsets[0]) + 4*c.Len()
	}
	size := c.Type().Width()*c.Len() + c.Len()/8
	for _, child := range c.Children() {
		size += sizeOf(child)
	}
	return size
}

// levelOf returns the fast end of each codec: a pipeline is bound by encoding sooner than by disks.
func levelOf(compression string) int {
	if compression == "none" || compression == "snappy" {
		return compress.DefaultCompressionLevel
	}
	return 1
}

package cases

import (
	"context"
	"errors"
	"io"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/connectors/csv"
	"github.com/tapeline/tapeline/internal/filesink"
	"github.com/tapeline/tapeline/internal/vfs"
)

// Config is what a user of the csv connector who knows the dialect would write.
func (c Case) Config() csv.SourceConfig {
	var cfg csv.SourceConfig
	header := false
	cfg.Path, cfg.Header = c.Path, &header
	cfg.Encoding = c.Parameters.Encoding
	cfg.Delimiter = c.Parameters.Delimiter
	cfg.Quote, cfg.Escape = c.Parameters.Quote, c.Parameters.Escape
	cfg.SkipRows = c.Parameters.SkipRows()
	cfg.Ragged = "fit"
	if c.Parameters.RowEnd == "\r" {
		cfg.RecordEnd = "cr"
	}
	for _, name := range c.Parameters.Names {
		cfg.Schema.Columns = append(cfg.Schema.Columns, filesink.ColumnConfig{Name: name, Type: "string"})
	}
	return cfg
}

// Read returns the rows of the csv connector, as the texts that it hands out.
func Read(ctx context.Context, cfg csv.SourceConfig) (rows [][]string, err error) {
	source, err := csv.Connector().Source.New(connector.Env{FS: vfs.OS{}}, &cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	if err := source.Open(ctx, connector.Partition{}, nil); err != nil {
		return nil, err
	}
	decode := source.(connector.Decoder).NewDecode()
	for {
		chunk, err := source.Read(ctx)
		if err == nil {
			chunk, err = decode(chunk)
		}
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		rows = appendRows(rows, chunk.Batch)
		chunk.Release()
	}
}

func appendRows(rows [][]string, b *batch.Batch) [][]string {
	for i := range b.Len() {
		row := b.Row(i)
		var cells []string
		for _, c := range b.Columns() {
			cells = append(cells, text(c, row))
		}
		rows = append(rows, cells)
	}
	return rows
}

// text returns a cell as it stood in the file, whatever type was inferred.
func text(c *batch.Column, row int) string {
	if spans, cell := c.Source(); spans != nil {
		raw, _, _ := spans.Text(row, cell, nil)
		return string(raw)
	}
	if c.IsNull(row) {
		return ""
	}
	return string(batch.AppendText(nil, c, row))
}

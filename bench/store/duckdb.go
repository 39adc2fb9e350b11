package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/bench/duckdb"
	"github.com/tapeline/tapeline/internal/store/segment"
)

// duckDB is a child with one table.
type duckDB struct {
	*duckdb.Child

	path    string
	bars    *bars
	parquet string
}

func openDuckDB(ctx context.Context, binary, path string) (engine, error) {
	child, err := duckdb.Start(ctx, binary, path)
	if err != nil {
		return nil, err
	}
	return &duckDB{Child: child, path: path, parquet: filepath.Join(filepath.Dir(path), "duckdb.parquet")}, nil
}

func (*duckDB) name() string { return "duckdb" }

// write writes rows as one Parquet file with the instrument's number in front.
func (d *duckDB) write(fill func(add func(*batch.Batch) error) error) (err error) {
	file, err := os.Create(d.parquet)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	var w *segment.Writer
	err = fill(func(rows *batch.Batch) error {
		schema, block, err := numbered(rows)
		if err == nil && w == nil {
			w, err = segment.NewWriter(file, schema, segment.Options{})
		}
		if err != nil {
			return err
		}
		return w.Write(block)
	})
	if err != nil {
		return err
	}
	_, err = w.Close()
	return err
}

// numbered turns a batch into a block with the instrument's number instead of its symbol.
func numbered(rows *batch.Batch) (*segment.Schema, *segment.Block, error) {
	list := []segment.Column{
		{Name: "id", Type: batch.Of(batch.Int32)}, {Name: "date", Type: batch.Of(batch.Date)},
	}
	for _, name := range columns() {
		f := rows.Schema().Field(rows.Schema().Index(name))
		list = append(list, segment.Column{Name: name, Type: f.Type, Nullable: f.Nullable})
	}
	schema, err := segment.NewSchema("bar", 1, 2, list...)
	if err != nil {
		return nil, nil, err
	}
	b := segment.NewBlock(schema)
	symbols := rows.Column(rows.Schema().Index("symbol"))
	for row := range rows.Len() {
		b.Vectors[0].Int32s = append(b.Vectors[0].Int32s, int32(numberOf(symbols.Bytes(row))))
	}
	for i, c := range list[1:] {
		b.AppendColumn(i+1, rows.Column(rows.Schema().Index(c.Name)))
	}
	return schema, b, b.SetLen(rows.Len())
}

func (d *duckDB) fill(_ context.Context, b *bars, dates int) error {
	d.bars = b
	err := d.write(func(add func(*batch.Batch) error) error {
		const step = 41
		for first := 0; first < b.symbols; first += step {
			rows, err := b.block(first, min(first+step, b.symbols), 0, dates)
			if err == nil {
				err = add(rows)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		_, _, err = d.Ask("CREATE TABLE bar AS SELECT * FROM read_parquet('%s')", d.parquet)
	}
	if err == nil {
		_, _, err = d.Ask("CHECKPOINT")
	}
	return err
}

func (d *duckDB) insert(rows *batch.Batch) error {
	err := d.write(func(add func(*batch.Batch) error) error { return add(rows) })
	if err == nil {
		_, _, err = d.Ask("INSERT INTO bar SELECT * FROM read_parquet('%s')", d.parquet)
	}
	return err
}

func (d *duckDB) grow(_ context.Context, b *bars, from, to int) error {
	days, err := b.days(from, to)
	for _, rows := range days {
		if err == nil {
			err = d.insert(rows)
		}
	}
	return err
}

func (d *duckDB) bytes() (int64, error) {
	info, err := os.Stat(d.path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (d *duckDB) point(_ context.Context, symbol int) (int, error) {
	n, _, err := d.Ask("SELECT * FROM bar WHERE id = %d ORDER BY date", symbol)
	return n, err
}

func (d *duckDB) latest(_ context.Context, symbol int) (int, error) {
	n, _, err := d.Ask("SELECT * FROM bar WHERE id = %d ORDER BY date DESC LIMIT 1", symbol)
	return n, err
}

func (d *duckDB) cross(_ context.Context, date int) (int, error) {
	n, _, err := d.Ask("SELECT id, open, close, volume FROM bar WHERE date = DATE '%s'", d.bars.dates[date])
	return n, err
}

func (d *duckDB) scan(_ context.Context, all bool) (int, error) {
	query := "SELECT count(*), max(date), sum(close), sum(volume)"
	if all {
		query += ", sum(id), sum(open), sum(high), sum(low), sum(preclose), sum(amount), sum(turn), " +
			"bool_and(trade_status), bool_and(is_st), bool_and(final)"
	}
	_, n, err := d.Ask("%s FROM bar", query)
	return int(n), err
}

func (d *duckDB) commit(_ context.Context, rows *batch.Batch) (int, error) {
	return rows.Len(), d.insert(rows)
}

func (d *duckDB) cpu() time.Duration { return d.CPU() }

func (d *duckDB) close() error { return d.Close() }

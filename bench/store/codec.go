package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/tapeline/tapeline/internal/store/segment"
)

// flatBar is a row as parquet-go's generic writer takes it. A zero of an optional column is NULL.
type flatBar struct {
	ID          int32 `parquet:"id,delta"`
	Date        int32 `parquet:"date,date,delta"`
	Open        int64 `parquet:"open,decimal(4:18),delta"`
	High        int64 `parquet:"high,decimal(4:18),delta"`
	Low         int64 `parquet:"low,decimal(4:18),delta"`
	Close       int64 `parquet:"close,decimal(4:18),delta"`
	Preclose    int64 `parquet:"preclose,decimal(4:18),optional,delta"`
	Volume      int64 `parquet:"volume,optional,delta"`
	Amount      int64 `parquet:"amount,decimal(4:18),optional,delta"`
	Turn        int64 `parquet:"turn,decimal(6:18),optional,delta"`
	TradeStatus bool  `parquet:"trade_status"`
	IsST        bool  `parquet:"is_st,optional"`
	Final       bool  `parquet:"final"`
}

// codec measures the page layer beside parquet-go's own writer and reader: one year of all instruments,
// zstd, row groups of 192 Ki rows, pages of about 2,048 rows.
func (r *run) codec() error {
	const dates = 240
	year := newBars(r.symbols, dates)
	var flat []flatBar
	var block *segment.Block
	rows, err := year.block(0, r.symbols, 0, dates)
	if err == nil {
		_, block, err = numbered(rows)
	}
	if err != nil {
		return err
	}
	for i := range r.symbols {
		year.walk(i, func(n int, one bar) {
			flat = append(flat, flatBar{
				int32(i), int32(year.dates[n]), one.open, one.high, one.low, one.close, one.preclose, one.volume,
				one.amount, one.turn, one.traded, false, true,
			})
		})
	}
	n := len(flat)
	var mine, structs []byte // memory that is there from the second round on, as for who writes many files
	for range r.rounds {
		into := segment.NewBlock(block.Schema())
		read := make([]flatBar, 64<<10)
		for _, part := range []struct {
			job, name string
			do        func() (int, error)
		}{
			{"encode, all columns", "tapeline", func() (int, error) {
				var err error
				mine, _, err = segment.Encode(mine[:0], block, segment.Options{Compression: segment.Zstd})
				return n, err
			}},
			{"encode, all columns", "parquet-go, structs", func() (int, error) {
				var err error
				structs, err = encodeStructs(structs[:0], flat)
				return n, err
			}},
			{"decode, all columns", "tapeline", func() (int, error) { return decodeOurs(mine, into) }},
			{"decode, all columns", "parquet-go, structs", func() (int, error) { return decodeStructs(structs, read) }},
		} {
			start, before := time.Now(), ownCPU()
			got, err := part.do()
			if err != nil || got != n {
				return fmt.Errorf("%s by %s: %d rows of %d: %w", part.job, part.name, got, n, err)
			}
			r.add(part.job, part.name, sample{time.Since(start), ownCPU() - before, n})
		}
		r.sizes = fmt.Sprintf("page layer, %d columns: %.2f bytes a row, parquet-go %.2f", len(block.Vectors),
			float64(len(mine))/float64(n), float64(len(structs))/float64(n))
	}
	r.note("%s", r.sizes)
	return nil
}

func encodeStructs(dst []byte, rows []flatBar) ([]byte, error) {
	out := bytes.NewBuffer(dst)
	w := parquet.NewGenericWriter[flatBar](out, parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest}),
		parquet.MaxRowsPerRowGroup(segment.GroupRows), parquet.PageBufferSize(16<<10), parquet.DataPageStatistics(true))
	const chunk = 4096
	for from := 0; from < len(rows); from += chunk {
		if _, err := w.Write(rows[from:min(from+chunk, len(rows))]); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return out.Bytes(), err
}

func decodeStructs(data []byte, into []flatBar) (rows int, err error) {
	file, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return 0, err
	}
	r := parquet.NewGenericReader[flatBar](file)
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		n, err := r.Read(into)
		rows += n
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return rows, err
		}
	}
}

func decodeOurs(data []byte, into *segment.Block) (int, error) {
	r, err := segment.Open("bench", bytes.NewReader(data), int64(len(data)), nil)
	if err != nil {
		return 0, err
	}
	rows := r.Info().Rows
	for at := int64(0); at < rows; at += segment.GroupRows {
		if err := r.Read(into, nil, segment.Range{From: at, To: min(at+segment.GroupRows, rows)}); err != nil {
			return 0, err
		}
	}
	return int(rows), nil
}

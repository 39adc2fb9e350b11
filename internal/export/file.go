package export

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

// content is what one part holds.
type content struct {
	schema *batch.Schema
	rows   iter.Seq2[*batch.Batch, error]
	always bool // it is written without rows too
}

// file replaces a file by the content, unless that has no rows and need not be. Committed.
func (x *folder) file(ctx context.Context, path string, c content) (rows int64, err error) {
	sink, err := x.Sink(path)
	if err != nil {
		return 0, err
	}
	target, ok := sink.(connector.Transactional)
	if !ok {
		return 0, fmt.Errorf("write %s: its connector has no transactions", path)
	}
	open := false
	defer func() {
		if open {
			err = errors.Join(err, target.Close())
		}
	}()
	begin := func() error {
		if open {
			return nil
		}
		open = true
		task := connector.Task{Workflow: "export", Run: "export", Node: "file", Count: 1, Fence: 1}
		if err := target.Open(ctx, task); err != nil {
			return err
		}
		return target.Recover(ctx, connector.Epoch{}, nil)
	}
	put := func(b *batch.Batch) error {
		if err := begin(); err != nil {
			return err
		}
		rows += int64(b.Len())
		return target.Write(ctx, connector.Chunk{Batch: b})
	}
	for b, err := range c.rows {
		if err != nil {
			return 0, err
		}
		if b.Len() == 0 {
			continue
		}
		if err := put(b); err != nil {
			return 0, err
		}
	}
	switch {
	case rows == 0 && !c.always:
		return 0, nil
	case rows == 0:
		empty, err := batch.NewBuilder(c.schema).Batch()
		if err == nil {
			err = put(empty)
		}
		if err != nil {
			return 0, err
		}
	}
	return rows, finish(ctx, target)
}

// finish makes what was written the file. Committed.
func finish(ctx context.Context, target connector.Transactional) error {
	end := connector.Epoch{Number: 1, Final: true}
	prepared, err := target.Prepare(ctx, end)
	if err != nil {
		return err
	}
	if prepared.Sync != nil {
		if err := prepared.Sync(ctx); err != nil {
			return err
		}
	}
	return target.Commit(ctx, end, prepared.Token)
}

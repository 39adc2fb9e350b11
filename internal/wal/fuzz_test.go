package wal_test

import (
	"errors"
	"io"
	"path/filepath"
	"testing"

	"github.com/tapeline/tapeline/internal/vfs"
	"github.com/tapeline/tapeline/internal/vfs/simfs"
	"github.com/tapeline/tapeline/internal/wal"
)

// FuzzOpen: whatever a segment holds, opening the log ends with its records in order or an error, and what
// Open accepts can be opened once more.
func FuzzOpen(f *testing.F) {
	for _, records := range [][]string{nil, {"a"}, {"a", "bb", "ccc"}} {
		disk := simfs.New()
		log, _, err := wal.Open(disk, dir, 1, nil, small())
		for _, r := range records {
			err = errors.Join(err, tryWrite(log, r))
		}
		if err = errors.Join(err, log.Close()); err != nil {
			f.Fatal(err)
		}
		file, err := disk.Open(filepath.Join(dir, "0000000000000001.wal"))
		if err != nil {
			f.Fatal(err)
		}
		text, err := io.ReadAll(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text[:4*vfs.Block])
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		disk := simfs.New()
		must(t, disk.MkdirAll(dir))
		file, err := disk.Create(filepath.Join(dir, "0000000000000001.wal"))
		must(t, err)
		_, err = file.Write(append(text, make([]byte, 4*vfs.Block)...))
		must(t, errors.Join(err, file.Sync(), file.Close(), disk.SyncDir(dir)))
		in, err := wal.Inspect(disk, dir, nil)
		if err != nil || in.Corrupt != nil {
			return
		}
		from := max(in.First, 1)
		for range 2 {
			last := from - 1
			log, report, err := wal.Open(disk, dir, from, func(f *wal.Frame) error {
				if f.First != last+1 {
					t.Errorf("a frame of %d after %d", f.First, last)
				}
				last = f.Last()
				return nil
			}, small())
			must(t, err)
			if in.Last != 0 && last != in.Last || report.Last != last {
				t.Errorf("last is %d; inspected as %d, reported as %d", last, in.Last, report.Last)
			}
			must(t, log.Close())
		}
	})
}

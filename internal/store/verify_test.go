package store

import (
	"bytes"
	"errors"
	"runtime"
	"syscall"
	"testing"

	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store/segment"
	"github.com/tapeline/tapeline/internal/vfs/simfs"
)

// verifyWhole is verifyRows on all rows at once.
func verifyWhole(d *dataset, info *segmentInfo, r *segment.Reader) string {
	b := segment.NewBlock(d.layout)
	if err := r.Read(b, nil, segment.Range{To: r.Info().Rows}); err != nil {
		return err.Error()
	}
	if !b.Sorted() {
		return "its keys do not ascend"
	}
	return d.verifyBounds(info, b, 0)
}

// written is a segment of bars of one instrument, a day each, of which the days were changed.
func written(t *testing.T, d *dataset, rows int, change func(days []int32)) *segment.Reader {
	t.Helper()
	b := segment.NewBlock(d.layout)
	b.AppendZeros(d.columns(d.width()), rows)
	for row := range rows {
		b.Vectors[0].Int32s[row], b.Vectors[1].Int32s[row] = 1, int32(row)
		b.Vectors[d.own(seqOffset)].Int64s[row] = 1
	}
	change(b.Vectors[1].Int32s)
	must(t, b.SetLen(rows))
	raw, _, err := segment.Encode(nil, b, segment.Options{
		Symbol: func(int32) (string, error) { return pufa, nil },
	})
	must(t, err)
	r, err := segment.Open("test", bytes.NewReader(raw), int64(len(raw)), d.layout)
	must(t, err)
	return r
}

// TestVerifyReadsInOrder: a segment that is read a part after the other shows what it shows as a whole,
// wherever the fault is, and its size does not matter to the memory that takes.
func TestVerifyReadsInOrder(t *testing.T) {
	t.Parallel()
	m, _ := market.DatasetByName(market.Bar1D)
	d, err := newDataset(m)
	must(t, err)
	const group = verifiedRows
	rows := 3*group + 5
	good := segmentInfo{rows: int64(rows), firstID: 1, lastID: 1, to: market.Date(rows), lo: 1, hi: 1}
	right := written(t, d, rows, func([]int32) {})
	for _, at := range []int{1, group - 1, group, group + 1, 2 * group, rows - 1} {
		twice := written(t, d, rows, func(days []int32) { days[at] = days[at-1] })
		for what, read := range map[string]func(verify func(*dataset, *segmentInfo, *segment.Reader) string) string{
			"nothing": func(verify func(*dataset, *segmentInfo, *segment.Reader) string) string {
				return verify(d, &good, right)
			},
			"a key twice": func(verify func(*dataset, *segmentInfo, *segment.Reader) string) string {
				return verify(d, &good, twice)
			},
			"a date too late": func(verify func(*dataset, *segmentInfo, *segment.Reader) string) string {
				info := good
				info.to = market.Date(at - 1)
				return verify(d, &info, right)
			},
			"another commit": func(verify func(*dataset, *segmentInfo, *segment.Reader) string) string {
				info := good
				info.lo = 2
				return verify(d, &info, right)
			},
			"another instrument": func(verify func(*dataset, *segmentInfo, *segment.Reader) string) string {
				info := good
				info.firstID = 2
				return verify(d, &info, right)
			},
		} {
			got, want := read(verifyRows), read(verifyWhole)
			if got != want || (got == "") != (what == "nothing") {
				t.Errorf("%s at row %d: %q, as a whole %q", what, at, got, want)
			}
		}
	}
}

// TestVerifyTakesLittle: memory is that of one part, not of the segment.
func TestVerifyTakesLittle(t *testing.T) {
	m, _ := market.DatasetByName(market.Bar1D)
	d, err := newDataset(m)
	must(t, err)
	allocated := func(groups int) uint64 {
		rows := groups * verifiedRows
		info := segmentInfo{rows: int64(rows), firstID: 1, lastID: 1, to: market.Date(rows), lo: 1, hi: 1}
		r := written(t, d, rows, func([]int32) {})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if message := verifyRows(d, &info, r); message != "" {
			t.Fatal(message)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	allocated(1) // buffers that are kept
	one, six := allocated(1), allocated(6)
	if six > 2*one {
		t.Errorf("six parts take %d bytes, one takes %d", six, one)
	}
}

// TestVerifyOfWhatCannotBeRead: a read that fails is no damage, for which a repair would give rows up; that the
// disk has lost bytes is.
// invariant: a segment is damaged by what its bytes are, not by a read that failed
func TestVerifyOfWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	st := &story{t: t, dir: t.TempDir(), disk: simfs.New()}
	if _, err := st.play(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(st.dir, Config{FS: st.disk, fileRows: 1})
	must(t, err)
	defer func() { must(t, s.Close()) }()
	fail := func(at int, failure error) (count int) {
		st.disk.Inject(func(op simfs.Op, _ string) error {
			if op != simfs.OpOpen && op != simfs.OpRead {
				return nil
			}
			if count++; count == at {
				return failure
			}
			return nil
		})
		found, err := s.Verify(t.Context(), nil)
		st.disk.Inject(nil)
		damage := errors.Is(failure, syscall.EIO) && at > 0
		if damage != (len(found) == 1) || err == nil != (damage || at > count) {
			t.Errorf("%v at operation %d of files: found %v and %v", failure, at, found, err)
		}
		return count
	}
	operations := fail(1<<30, syscall.EMFILE)
	if operations < 6 {
		t.Fatalf("%d operations, want those of several files", operations)
	}
	for at := 1; at <= operations; at++ {
		fail(at, syscall.EMFILE)
		fail(at, syscall.EIO)
	}
}

package filesink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/vfs"
	"github.com/tapeline/tapeline/internal/vfs/simfs"
)

// TestSmallPartsAreJoined: however many checkpoints, a folder gets parts of min_part_bytes.
func TestSmallPartsAreJoined(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		least connector.Size
		files int
	}{
		"default":     {0, 1},
		"three each":  {3000, 9}, // 25 epochs of some 1,100 bytes
		"none waits":  {1, 25},
		"huge at end": {1 << 40, 1},
	} {
		j := job{epochs: 25, cfg: StageConfig{
			Sink: SinkConfig{Path: "out/", MinPartBytes: c.least}, Suffix: ".dat", PerEpoch: true, Merge: mergeText,
		}}
		system := simfs.New()
		m := &manifest{}
		if err := j.run(system, m); err != nil {
			t.Fatal(err)
		}
		got, files, err := visible(system, "out")
		if err != nil || got != j.want() || files != c.files {
			t.Errorf("%s: %d files, want %d, %d bytes, want %d (%v)", name, files, c.files, len(got), len(j.want()), err)
		}
		if len(m.token) > 1<<10 {
			t.Errorf("%s: a token of %d bytes", name, len(m.token))
		}
		noneHidden(t, system)
	}
}

// TestJoinedPartsAppearWithTheirEpoch: nothing of a part is visible before its epoch is committed,
// and what a merge holds is not needed after.
func TestJoinedPartsAppearWithTheirEpoch(t *testing.T) {
	t.Parallel()
	cfg := StageConfig{
		Sink: SinkConfig{Path: "out/", MinPartBytes: 8}, Suffix: ".dat", PerEpoch: true, Merge: mergeText,
	}
	system := simfs.New()
	cfg.Env.FS = system
	o := own(t, cfg, manifest{})
	before := ""
	for number, step := range []struct{ text, visible string }{
		{"one\n", ""},
		{"two\n", "one\ntwo\n"},
		{"", "one\ntwo\n"},
		{"three\n", "one\ntwo\n"},
		{"four\n", "one\ntwo\nthree\nfour\n"},
		{"5\n", "one\ntwo\nthree\nfour\n5\n"},
	} {
		epoch := connector.Epoch{Number: uint64(number + 1), Final: number == 5}
		token := o.write(step.text, epoch)
		if got, _, err := visible(system, "out"); err != nil || got != before {
			t.Errorf("epoch %d before its commit: %q, want %q (%v)", epoch.Number, got, before, err)
		}
		if err := o.Commit(t.Context(), epoch, token); err != nil {
			t.Fatal(err)
		}
		if got, _, err := visible(system, "out"); err != nil || got != step.visible {
			t.Errorf("epoch %d: %q, want %q (%v)", epoch.Number, got, step.visible, err)
		}
		before = step.visible
	}
	noneHidden(t, system)
}

// TestMergeOpensOnePartAtATime: there may be more parts than a process may have files.
func TestMergeOpensOnePartAtATime(t *testing.T) {
	t.Parallel()
	merged := 0
	merge := func(_ context.Context, target io.Writer, parts iter.Seq2[vfs.File, error]) error {
		var before vfs.File
		for part, err := range parts {
			if err != nil {
				return err
			}
			if before != nil {
				if _, err := before.ReadAt(make([]byte, 1), 0); !errors.Is(err, fs.ErrClosed) {
					t.Errorf("part %d: the one before is still open (%v)", merged, err)
				}
			}
			before = part
			merged++
			if _, err := io.Copy(target, struct{ io.Reader }{part}); err != nil {
				return err
			}
		}
		return nil
	}
	j := job{epochs: 9, cfg: StageConfig{Sink: SinkConfig{Path: "out/a.dat"}, PerEpoch: true, Merge: merge}}
	system := simfs.New()
	if err := j.run(system, &manifest{}); err != nil {
		t.Fatal(err)
	}
	if got, _, err := visible(system, "out"); err != nil || got != j.want() || merged != 9 {
		t.Errorf("%d parts were merged to %d bytes, want 9 and %d (%v)", merged, len(got), len(j.want()), err)
	}
}

// TestOtherColumnsBeginAnotherFile: a folder takes other columns between parts, a file never does,
// and neither forgets the columns with the process.
func TestOtherColumnsBeginAnotherFile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg  StageConfig
		want string // visible at the end; "": refused
	}{
		"parts folder":  {StageConfig{Sink: SinkConfig{Path: "out/"}, PerEpoch: true, Merge: mergeText}, "a1 a2 | b3 b4 | "},
		"stream folder": {StageConfig{Sink: SinkConfig{Path: "out/"}, Tail: []byte("end ")}, "a1 a2 end | b3 b4 | "},
		"closed stream": {StageConfig{Sink: SinkConfig{Path: "out/", MinPartBytes: 1}}, "a1 | a2 | b3 | b4 | "},
		"parts file":    {StageConfig{Sink: SinkConfig{Path: "out/x"}, PerEpoch: true, Merge: mergeText}, ""},
		"stream file":   {StageConfig{Sink: SinkConfig{Path: "out/x"}}, ""},
	} {
		system := simfs.New()
		c.cfg.Env.FS = system
		m := manifest{}
		err := error(nil)
		for number, columns := range []string{"a", "a", "b", "b"} {
			o := own(t, c.cfg, m) // a process for each epoch
			if err = o.Columns("dat", []byte(columns), false); err != nil {
				break
			}
			if number == 2 { // a crash after the change comes back to the epoch before
				o.write("lost ", connector.Epoch{Number: 3})
				if err := o.Close(); err != nil {
					t.Fatal(err)
				}
				o = own(t, c.cfg, m)
				if err = o.Columns("dat", []byte(columns), false); err != nil {
					break
				}
			}
			m.epoch = connector.Epoch{Number: uint64(number + 1), Final: number == 3}
			m.token = o.write(fmt.Sprintf("%s%d ", columns, number+1), m.epoch)
			if err := o.Commit(t.Context(), m.epoch, m.token); err != nil {
				t.Fatal(err)
			}
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
		}
		var e *connector.Error
		if refused := errors.As(err, &e) && e.Code == "dat_columns_changed"; refused != (c.want == "") {
			t.Errorf("%s: %v", name, err)
		}
		var got strings.Builder
		entries, err := system.List("out")
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if f, err := system.Open("out/" + entry.Name()); err == nil && !strings.HasPrefix(entry.Name(), ".") {
				data, _ := io.ReadAll(f)
				got.WriteString(string(data) + "| ")
			}
		}
		if got.String() != c.want {
			t.Errorf("%s: got %q, want %q", name, got.String(), c.want)
		}
	}
}

// TestColumnsOfUnwrittenRows: rows that a sink still holds are of the columns before.
func TestColumnsOfUnwrittenRows(t *testing.T) {
	t.Parallel()
	cfg := StageConfig{Sink: SinkConfig{Path: "out/"}, PerEpoch: true, Merge: mergeText}
	cfg.Env.FS = simfs.New()
	o := own(t, cfg, manifest{})
	long := strings.Repeat("c int64, ", 2000)
	if err := o.Columns("dat", []byte(long), false); err != nil {
		t.Fatal(err)
	}
	if err := o.Columns("dat", []byte(long), true); err != nil {
		t.Errorf("the same columns: %v", err)
	}
	if err := o.Columns("dat", []byte(long+"d"), true); err == nil {
		t.Error("other columns were taken into the part of the first ones")
	}
	if token := o.write("rows", connector.Epoch{Number: 1}); len(token) > 1<<10 {
		t.Errorf("a token of %d bytes", len(token))
	}
}

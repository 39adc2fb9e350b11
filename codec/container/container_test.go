package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/vfs/simfs"
)

// invariant: a panic of a format library becomes a data error that names the file
func TestGuard(t *testing.T) {
	t.Parallel()
	schema := &connector.Error{Op: "x", Class: connector.Schema}
	missing := &fs.PathError{Op: "read", Path: "a", Err: fs.ErrPermission}
	for name, test := range map[string]struct {
		read func() error
		want func(err error) bool
	}{
		"panic":      {func() error { panic("odd") }, isData},
		"index":      {func() error { return fmt.Errorf("%d", []int{}[len("ab")]) }, isData},
		"error":      {func() error { return errors.New("odd") }, isData},
		"end within": {func() error { return fmt.Errorf("page: %w", io.EOF) }, func(err error) bool { return isData(err) && !errors.Is(err, io.EOF) }},
		"end":        {func() error { return io.EOF }, func(err error) bool { return err == io.EOF }}, //nolint:errorlint // bare
		"classified": {func() error { return schema }, func(err error) bool { return errors.Is(err, schema) }},
		"disk":       {func() error { return missing }, func(err error) bool { return errors.Is(err, fs.ErrPermission) && !isData(err) }},
		"nothing":    {func() error { return nil }, func(err error) bool { return err == nil }},
	} {
		if err := Guard("file.x", test.read); !test.want(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func isData(err error) bool {
	var e *connector.Error
	return errors.As(err, &e) && e.Class == connector.Data && strings.Contains(err.Error(), "file.x")
}

// digits is a format whose units are bytes and whose rows are what a byte's digit says.
type digits struct {
	text string
	next Cursor
	to   int64
}

func (d *digits) Read(_ context.Context, limits connector.Limits) (connector.Chunk, Cursor, error) {
	for d.next.Unit < int64(len(d.text)) && (d.to == 0 || d.next.Unit < d.to) {
		rows := int64(d.text[d.next.Unit] - '0')
		if d.next.Row >= rows {
			d.next = Cursor{Unit: d.next.Unit + 1}
			continue
		}
		n := min(rows-d.next.Row, int64(limits.Rows))
		chunk := connector.Chunk{Bytes: int(n), Table: fmt.Sprintf("%d+%d", d.next.Unit, d.next.Row)}
		d.next.Row += n
		return chunk, d.next, nil
	}
	return connector.Chunk{}, d.next, io.EOF
}

func (d *digits) Close() error { return nil }

func walkOf(system *simfs.FS, pieces []Piece) *Walk {
	return NewWalk(Config{
		FS: system, Pieces: pieces, Budget: connector.NewBudget(connector.Limits{Rows: 2, Bytes: 1}),
		Open: func(_ context.Context, f *File, from Cursor, to int64) (Reader, error) {
			text, err := io.ReadAll(f.Section())
			return &digits{string(text), from, to}, err
		},
	})
}

func write(t *testing.T, system *simfs.FS, name, text string) {
	t.Helper()
	f, err := system.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// rest returns the chunks of a walk and the positions after them.
func rest(t *testing.T, w *Walk) (chunks []string, positions []connector.Position) {
	t.Helper()
	for {
		chunk, err := w.Next(t.Context())
		if err == io.EOF { //nolint:errorlint // the end
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			return chunks, positions
		}
		if err != nil {
			t.Fatal(err)
		}
		chunks, positions = append(chunks, chunk.Table), append(positions, chunk.Position)
	}
}

func TestWalkResumesEverywhere(t *testing.T) {
	t.Parallel()
	system := simfs.New()
	write(t, system, "a", "3052")
	write(t, system, "b", "0")
	write(t, system, "c", "14")
	for _, pieces := range [][]Piece{
		Whole([]string{"a", "b", "c"}), {{"a", 0, 2}, {"a", 2, 3}, {"c", 1, 2}}, {{"a", 1, 3}, {"b", 0, 1}, {"c", 0, 1}},
	} {
		chunks, positions := rest(t, walkOf(system, pieces))
		if len(chunks) < 4 {
			t.Fatal(chunks)
		}
		for i, position := range positions {
			w := walkOf(system, pieces)
			if err := w.Resume(position); err != nil {
				t.Fatal(err)
			}
			got, _ := rest(t, w)
			if diff := cmp.Diff(strings.Join(chunks[i+1:], " "), strings.Join(got, " ")); diff != "" {
				t.Errorf("%v after %d: %s", pieces, i, diff)
			}
		}
	}
	_, positions := rest(t, walkOf(system, Whole([]string{"a"})))
	write(t, system, "a", "3053")
	w := walkOf(system, Whole([]string{"a"}))
	if err := w.Resume(positions[0]); err != nil {
		t.Fatal(err)
	}
	var e *connector.Error
	if _, err := w.Next(t.Context()); !errors.As(err, &e) || e.Code != "file_changed" {
		t.Errorf("changed: %v", err)
	}
	if err := walkOf(system, Whole([]string{"b"})).Resume(positions[0]); !errors.As(err, &e) || e.Code != "file_vanished" {
		t.Errorf("vanished: %v", err)
	}
	for _, bad := range []connector.Position{{}, {9}, {1, 0x80}} {
		if err := walkOf(system, Whole([]string{"b"})).Resume(bad); err == nil {
			t.Errorf("position %v was accepted", bad)
		}
	}
}

func TestWalkEndsWithItsContextAndClose(t *testing.T) {
	t.Parallel()
	system := simfs.New()
	write(t, system, "a", "9")
	w := walkOf(system, Whole([]string{"a"}))
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := w.Next(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := w.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Next(t.Context()); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after close: %v", err)
	}
}

package filesink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/vfs"
)

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, part := range [][]byte{data[:len(data)/3], data[len(data)/3:]} {
		w := gzip.NewWriter(&b)
		if _, err := w.Write(part); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func zstded(t *testing.T, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

func newBlocks(t *testing.T, cfg SourceConfig, limits connector.Limits) *Blocks {
	t.Helper()
	files, err := cfg.Expand(vfs.OS{})
	if err != nil {
		t.Fatal(err)
	}
	b := NewBlocks(BlocksConfig{
		FS: vfs.OS{}, Source: cfg, Files: files, Cut: CutLines, Budget: connector.NewBudget(limits),
	})
	t.Cleanup(func() { _ = b.Close() }) // reading: nothing to lose
	return b
}

type piece struct {
	data string
	next connector.Position
}

// drain reads all blocks, checks their numbers, and poisons released memory.
func drain(t *testing.T, b *Blocks) (pieces []piece, err error) {
	t.Helper()
	for {
		block, err := b.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return pieces, nil
		}
		if err != nil {
			return pieces, err
		}
		pieces = append(pieces, piece{string(block.Data), block.Next})
		if block.Lines != bytes.Count(block.Data, []byte("\n")) {
			t.Errorf("%d lines in %q", block.Lines, block.Data)
		}
		// Each line says its number in the file and, with the line end, its offset.
		var number int64
		if _, err := fmt.Sscanf(string(block.Data), "%d", &number); err == nil && number != block.Line {
			t.Errorf("block at line %d begins with line %d", block.Line, number)
		}
		for i := range block.Data {
			block.Data[i] = '?'
		}
		block.Release()
	}
}

func join(pieces []piece) string {
	var b strings.Builder
	for _, p := range pieces {
		b.WriteString(p.data)
	}
	return b.String()
}

func numbered(lines int) string {
	var b strings.Builder
	for i := 1; i <= lines; i++ {
		fmt.Fprintf(&b, "%d %s\n", i, strings.Repeat("é中", i%7))
	}
	return b.String()
}

// TestBlocksResumeEverywhere reads files of every kind and resumes at every position.
func TestBlocksResumeEverywhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := numbered(120)
	gbk, err := simplifiedchinese.GBK.NewEncoder().String(strings.ReplaceAll(text, "é", "e"))
	if err != nil {
		t.Fatal(err)
	}
	utf16, err := unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewEncoder().String(text)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/plain/a.txt", []byte(text))
	write(t, dir+"/plain/b.txt", []byte("\xef\xbb\xbf"+text))
	write(t, dir+"/plain/c.txt", nil)
	write(t, dir+"/plain/sub/d.txt", []byte(strings.TrimSuffix(text, "\n")))
	write(t, dir+"/gz/a.gz", gzipped(t, []byte(text)))
	write(t, dir+"/gz/b.dat", zstded(t, []byte("\xef\xbb\xbf"+text)))
	write(t, dir+"/gbk.txt", []byte(gbk))
	write(t, dir+"/utf16.txt", []byte(utf16))
	for name, c := range map[string]struct {
		cfg  SourceConfig
		want string
	}{
		"plain": {SourceConfig{Path: dir + "/plain/**"}, text + text + strings.TrimSuffix(text, "\n")},
		"gzip":  {SourceConfig{Path: dir + "/gz/*"}, text + text},
		"gbk":   {SourceConfig{Path: dir + "/gbk.txt", Encoding: "gbk"}, strings.ReplaceAll(text, "é", "e")},
		"utf16": {SourceConfig{Path: dir + "/utf16.txt"}, text},
	} {
		for _, limits := range []connector.Limits{{Rows: 1 << 20, Bytes: 300}, {Rows: 1, Bytes: 1 << 20}, {Rows: 7, Bytes: 4096}} {
			pieces, err := drain(t, newBlocks(t, c.cfg, limits))
			if err != nil || join(pieces) != c.want {
				t.Fatalf("%s %+v: %v: %s", name, limits, err, cmp.Diff(c.want, join(pieces)))
			}
			read := 0
			for i, p := range pieces {
				if lines := strings.Count(p.data, "\n"); lines > limits.Rows {
					t.Errorf("%s %+v: block of %d lines", name, limits, lines)
				}
				read += len(p.data)
				if i%5 != 0 && i < len(pieces)-2 {
					continue
				}
				b := newBlocks(t, c.cfg, limits)
				if err := b.Resume(p.next); err != nil {
					t.Fatal(err)
				}
				rest, err := drain(t, b)
				if err != nil || join(rest) != c.want[read:] {
					t.Fatalf("%s %+v resumed at byte %d: %v: got %q", name, limits, read, err, join(rest))
				}
			}
		}
	}
}

func TestBlocksTruncated(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := numbered(5000)
	for name, data := range map[string][]byte{"a.gz": gzipped(t, []byte(text)), "a.zst": zstded(t, []byte(text))} {
		write(t, dir+"/"+name, data[:len(data)*9/10])
		pieces, err := drain(t, newBlocks(t, SourceConfig{Path: dir + "/" + name}, connector.Limits{Rows: 100, Bytes: 1 << 10}))
		var e *connector.Error
		if !errors.As(err, &e) || e.Class != connector.Data || !strings.Contains(err.Error(), name) ||
			!strings.Contains(err.Error(), "byte") {
			t.Errorf("%s: got %v, want a Data error that names file and offset", name, err)
		}
		if got := join(pieces); name == "a.gz" && len(got) < len(text)/4 || !strings.HasPrefix(text, got) {
			t.Errorf("%s: %d whole bytes of %d came before the error", name, len(got), len(text))
		}
	}
}

func TestBlocksLongRecord(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	long := "1\n2 " + strings.Repeat("x", 100<<10) + "\n3\n"
	write(t, dir+"/a.txt", []byte(long))
	limits := connector.Limits{Rows: 100, Bytes: 512}
	pieces, err := drain(t, newBlocks(t, SourceConfig{Path: dir + "/a.txt"}, limits))
	if err != nil || join(pieces) != long {
		t.Errorf("got %d bytes (%v), want %d", len(join(pieces)), err, len(long))
	}
	pieces, err = drain(t, newBlocks(t, SourceConfig{Path: dir + "/a.txt", MaxRecordBytes: 64 << 10}, limits))
	var e *connector.Error
	if !errors.As(err, &e) || e.Class != connector.Data || e.Path != "max_record_bytes" ||
		!strings.Contains(err.Error(), "a.txt line 2") || join(pieces) != "1\n" {
		t.Errorf("got %q and %v, want the first line and an error that names file, line and key", join(pieces), err)
	}
}

func TestBlocksChangedFile(t *testing.T) {
	t.Parallel()
	limits := connector.Limits{Rows: 10, Bytes: 256}
	for name, c := range map[string]struct {
		change func(t *testing.T, path string)
		code   string
	}{
		"vanished": {func(t *testing.T, path string) {
			t.Helper()
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, "file_vanished"},
		"shorter": {func(t *testing.T, path string) { t.Helper(); write(t, path, []byte(numbered(3))) }, "file_changed"},
		"another": {func(t *testing.T, path string) {
			t.Helper()
			write(t, path, []byte(strings.Repeat("other\n", 5000)))
		}, "file_changed"},
		"grown": {func(t *testing.T, path string) { t.Helper(); write(t, path, []byte(numbered(500))) }, ""},
	} {
		dir := t.TempDir()
		path := dir + "/b.txt"
		write(t, dir+"/a.txt", []byte("1\n"))
		write(t, path, []byte(numbered(200)))
		pieces, err := drain(t, newBlocks(t, SourceConfig{Path: dir + "/*.txt"}, limits))
		if err != nil {
			t.Fatal(err)
		}
		c.change(t, path)
		b := newBlocks(t, SourceConfig{Path: dir + "/*.txt"}, limits)
		rest := []piece(nil)
		if err = b.Resume(pieces[len(pieces)/2].next); err == nil {
			rest, err = drain(t, b)
		}
		var e *connector.Error
		if c.code != "" && (!errors.As(err, &e) || e.Code != c.code) || c.code == "" && err != nil {
			t.Errorf("%s: got %v, want code %q", name, err, c.code)
		}
		if c.code == "" {
			whole := "1\n" + join(pieces[1:len(pieces)/2+1]) + join(rest)
			if whole != "1\n"+numbered(500) {
				t.Errorf("%s: rest does not continue: %s", name, cmp.Diff("1\n"+numbered(500), whole))
			}
		}
	}
}

func TestExpandNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"b1.csv", "a2.csv", ".hidden.csv", ".part.r.out-00-1.000001.part", "x/a3.csv", "x/y/a4.csv", "odd[1].csv"} {
		write(t, filepath.Join(dir, name), []byte("1\n"))
	}
	for pattern, want := range map[string]string{
		"*.csv": "a2.csv b1.csv odd[1].csv", "a?.csv": "a2.csv", "**/a*.csv": "a2.csv x/a3.csv x/y/a4.csv",
		"*/a3.csv": "x/a3.csv", "odd[1].csv": "odd[1].csv", "[ab]*.csv": "a2.csv b1.csv", ".*.csv": ".hidden.csv", ".*": ".hidden.csv",
	} {
		files, err := (&SourceConfig{Path: filepath.Join(dir, pattern)}).Expand(vfs.OS{})
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
		}
		for i := range files {
			files[i], _ = filepath.Rel(dir, files[i])
		}
		if got := strings.Join(files, " "); got != want {
			t.Errorf("%s: got %s, want %s", pattern, got, want)
		}
	}
	for pattern, want := range map[string]string{
		"*.tsv": "*.tsv", "no/*.csv": ", which does not exist", "gone.csv": "no such file", "x": "is a folder", "a[.csv": "needs its ]",
	} {
		_, err := (&SourceConfig{Path: filepath.Join(dir, pattern)}).Expand(vfs.OS{})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: got %v, want %q and the folder", pattern, err, want)
		}
	}
}

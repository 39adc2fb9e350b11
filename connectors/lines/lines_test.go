package lines

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filesink"
	"github.com/tapeline/tapeline/internal/testenv"
	"github.com/tapeline/tapeline/internal/vfs"
)

func env(limits connector.Limits) connector.Env {
	return connector.Env{FS: vfs.OS{}, Budget: connector.NewBudget(limits)}
}

func plenty() connector.Limits { return connector.Limits{Rows: 16384, Bytes: 1 << 20} }

// each calls f with every decoded chunk of a source.
func each(t *testing.T, cfg SourceConfig, limits connector.Limits, at connector.Position, f func(connector.Chunk)) {
	t.Helper()
	source, err := Connector().Source.New(env(limits), &cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	if err := source.Open(t.Context(), connector.Partition{}, at); err != nil {
		t.Fatal(err)
	}
	decode := source.(connector.Decoder).NewDecode()
	for {
		chunk, err := source.Read(t.Context())
		if errors.Is(err, io.EOF) {
			return
		}
		if err == nil {
			chunk, err = decode(chunk)
		}
		if err != nil {
			t.Fatal(err)
		}
		f(chunk)
		chunk.Release()
	}
}

func column(t *testing.T, b *batch.Batch, i int) []string {
	t.Helper()
	typed, bad := b.Typed(i)
	if len(bad) > 0 {
		t.Fatal(bad)
	}
	var values []string
	for row := range typed.Rows() {
		values = append(values, string(batch.AppendText(nil, typed.Column(i), row)))
	}
	return values
}

// TestMarketCapture splits the capture and holds it against a reading of its own.
func TestMarketCapture(t *testing.T) {
	dir := testenv.Data(t, "binance_feed_ndjson")
	cfg := SourceConfig{
		SourceConfig: filesink.SourceConfig{Path: filepath.Join(dir, "*.gz")},
		Prefix:       &PrefixConfig{Width: 19, Name: "received", Type: "int64"}, Column: "message", Type: "json",
	}
	var received []int64
	bytes := 0
	each(t, cfg, plenty(), nil, func(chunk connector.Chunk) {
		if len(chunk.Rejected) > 0 {
			t.Fatal(chunk.Rejected[0])
		}
		typed, bad := chunk.Batch.Typed(0)
		if len(bad) > 0 {
			t.Fatal(bad)
		}
		received = append(received, batch.Values[int64](typed.Column(0))...)
		for _, message := range column(t, chunk.Batch, 1) {
			bytes += len(message)
		}
	})
	var want []int64
	wantBytes := 0
	files, err := filepath.Glob(cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		for _, line := range linesOf(t, file) {
			stamp, err := strconv.ParseInt(line[:19], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, stamp)
			wantBytes += len(line) - 20
		}
	}
	if len(received) != 127_572 {
		t.Errorf("%d lines, want 127572", len(received))
	}
	if !cmp.Equal(want, received) || bytes != wantBytes {
		t.Errorf("stamps or messages differ: %d bytes of messages, want %d", bytes, wantBytes)
	}
}

func linesOf(t *testing.T, path string) []string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(unpacked)
	scanner.Buffer(nil, 1<<24)
	var all []string
	for scanner.Scan() {
		all = append(all, scanner.Text())
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAccessLogByPattern(t *testing.T) {
	dir := testenv.Data(t, "logs")
	path := filepath.Join(dir, "apache_access.log.gz")
	cfg := SourceConfig{
		SourceConfig: filesink.SourceConfig{Path: path},
		Pattern:      `^(?P<client>\S+) .*?"(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}) (?P<bytes>\d+|-) `,
		Types:        []ColumnConfig{{"status", "int64"}}, NumberColumn: "n",
	}
	statuses := map[string]int{}
	rows := 0
	each(t, cfg, plenty(), nil, func(chunk connector.Chunk) {
		for _, rejected := range chunk.Rejected {
			t.Errorf("%s: %s", rejected.Place, rejected.Record)
		}
		for _, status := range column(t, chunk.Batch, 2) {
			statuses[status]++
		}
		for _, n := range column(t, chunk.Batch, 4) {
			if rows++; n != strconv.Itoa(rows) {
				t.Fatalf("row %d has number %s", rows, n)
			}
		}
	})
	want := map[string]int{}
	for _, line := range linesOf(t, path) {
		_, rest, _ := strings.Cut(line, `HTTP/1.`)
		if fields := strings.Fields(rest); len(fields) > 1 {
			want[fields[1]]++
		}
	}
	if rows != 10_000 {
		t.Errorf("%d rows, want 10000", rows)
	}
	for status, n := range want {
		if statuses[status] < n {
			t.Errorf("status %s: %d rows, want at least %d", status, statuses[status], n)
		}
	}
}

func TestResumeAndRoundTrip(t *testing.T) {
	dir := t.TempDir()
	text := "one\n\ntwo words\nthree"
	if err := os.WriteFile(filepath.Join(dir, "in.txt"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg := SourceConfig{SourceConfig: filesink.SourceConfig{Path: filepath.Join(dir, "in.txt")}}
	limits := connector.Limits{Rows: 1, Bytes: 4}
	var positions []connector.Position
	var counts []int
	var all []string
	out := filepath.Join(dir, "out.txt")
	made, err := Connector().Sink.New(env(plenty()), &SinkConfig{
		SinkConfig: filesink.SinkConfig{Path: out}, Template: "<{line}>",
	})
	if err != nil {
		t.Fatal(err)
	}
	sink := made.(connector.Transactional)
	if err := sink.Open(t.Context(), connector.Task{Run: "r", Count: 1}); err != nil {
		t.Fatal(err)
	}
	each(t, cfg, limits, nil, func(chunk connector.Chunk) {
		all = append(all, column(t, chunk.Batch, 0)...)
		positions, counts = append(positions, chunk.Position), append(counts, len(all))
		if err := sink.Write(t.Context(), chunk); err != nil {
			t.Fatal(err)
		}
	})
	if len(positions) < 4 {
		t.Fatalf("%d chunks, want one a line", len(positions))
	}
	for i, at := range positions {
		var rest []string
		each(t, cfg, plenty(), at, func(chunk connector.Chunk) {
			rest = append(rest, column(t, chunk.Batch, 0)...)
		})
		if want := all[counts[i]:]; len(want)+len(rest) > 0 && !cmp.Equal(want, rest) {
			t.Errorf("after chunk %d: %q, want %q", i, rest, want)
		}
	}
	epoch := connector.Epoch{Number: 1, Final: true}
	prepared, err := sink.Prepare(t.Context(), epoch)
	if err == nil {
		err = prepared.Sync(t.Context())
	}
	if err == nil {
		err = sink.Commit(t.Context(), epoch, prepared.Token)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(out); err != nil || string(got) != "<one>\n<>\n<two words>\n<three>\n" {
		t.Errorf("%v, wrote %q", err, got)
	}
}

func TestWrongConfigIsRefused(t *testing.T) {
	path := filesink.SourceConfig{Path: "x"}
	for want, cfg := range map[string]SourceConfig{
		"path":          {},
		"pattern":       {SourceConfig: path, Pattern: "("},
		"prefix.width":  {SourceConfig: path, Prefix: &PrefixConfig{Name: "a"}},
		"types.b":       {SourceConfig: path, Pattern: "(?P<a>.)", Types: []ColumnConfig{{"b", "int64"}}},
		"prefix.type":   {SourceConfig: path, Prefix: &PrefixConfig{Width: 1, Name: "a", Type: "int65"}},
		"exclude each ": {SourceConfig: path, Prefix: &PrefixConfig{Width: 1, Name: "a"}, Pattern: "(?P<a>.)"},
	} {
		if _, err := Connector().Source.New(env(plenty()), &cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	sink := SinkConfig{SinkConfig: filesink.SinkConfig{Path: "x"}, Template: "{"}
	if _, err := Connector().Sink.New(env(plenty()), &sink); err == nil {
		t.Error("template { was accepted")
	}
}

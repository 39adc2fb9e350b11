package stdio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/connector"
)

func sourceConfig(format string) SourceConfig {
	cfg := *Connector().Source.Config.(*SourceConfig)
	cfg.Format = format
	return cfg
}

// pipe reads all of input and writes it in another format.
func pipe(t *testing.T, from SourceConfig, to SinkConfig, input io.Reader, limits connector.Limits) (string, []string) {
	t.Helper()
	source, err := newSource(connector.Env{Budget: connector.NewBudget(limits)}, &from, input)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	sink, err := newSink(&to, &out)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(source.Open(t.Context(), connector.Partition{}, nil),
		sink.Open(t.Context(), connector.Task{})); err != nil {
		t.Fatal(err)
	}
	decode := source.(connector.Decoder).NewDecode()
	encode := sink.(connector.Encoder).NewEncode()
	var rejected []string
	for {
		chunk, err := source.Read(t.Context())
		if errors.Is(err, io.EOF) {
			return out.String(), rejected
		}
		if err == nil {
			chunk, err = decode(chunk)
		}
		for _, r := range chunk.Rejected {
			rejected = append(rejected, fmt.Sprintf("%s %s", r.Place, r.Record))
		}
		var encoded connector.Chunk
		if err == nil {
			encoded, err = encode(chunk)
		}
		if err == nil {
			err = sink.Write(t.Context(), encoded)
		}
		if err != nil {
			t.Fatal(err)
		}
		encoded.Release()
		chunk.Release()
	}
}

func TestFormats(t *testing.T) {
	const table = "id,name\n1,ada\n2,\"b \"\"c\"\"\"\n3,\n"
	const objects = "{\"id\":1,\"name\":\"ada\"}\n{\"id\":2,\"name\":\"b \\\"c\\\"\"}\n{\"id\":3,\"name\":null}\n"
	for name, test := range map[string]struct {
		from, to, input, want string
	}{
		"csv to ndjson":   {"csv", "ndjson", table, objects},
		"ndjson to csv":   {"ndjson", "csv", objects, table},
		"ndjson":          {"ndjson", "ndjson", objects, objects},
		"csv with a mark": {"csv", "csv", "\ufeff" + table, table},
		"lines":           {"lines", "lines", "a\n\nb", "a\n\nb\n"},
		"lines to ndjson": {"lines", "ndjson", "a\"\n", "{\"line\":\"a\\\"\"}\n"},
		"empty":           {"ndjson", "csv", "", ""},
		"empty csv":       {"csv", "ndjson", "", ""},
	} {
		for _, limits := range []connector.Limits{{Rows: 1000, Bytes: 1 << 20}, {Rows: 1, Bytes: 1}} {
			for _, input := range []io.Reader{
				strings.NewReader(test.input), iotest.OneByteReader(strings.NewReader(test.input)),
			} {
				to := *Connector().Sink.Config.(*SinkConfig)
				to.Format = test.to
				got, rejected := pipe(t, sourceConfig(test.from), to, input, limits)
				if got != test.want || len(rejected) > 0 {
					t.Errorf("%s with %v: got %q, want %q, rejected %v", name, limits, got, test.want, rejected)
				}
			}
		}
	}
}

func TestRejectedRecordsHaveLines(t *testing.T) {
	to := *Connector().Sink.Config.(*SinkConfig)
	limits := connector.Limits{Rows: 1, Bytes: 1}
	_, got := pipe(t, sourceConfig("csv"), to, strings.NewReader("a,b\n1,2\n3\n4,5\n6\n"), limits)
	if diff := cmp.Diff([]string{"stdin:3 3", "stdin:5 6"}, got); diff != "" {
		t.Error(diff)
	}
	_, got = pipe(t, sourceConfig("ndjson"), to, strings.NewReader("{}\nx\n\n{\n"), limits)
	if diff := cmp.Diff([]string{"stdin:2 x", "stdin:4 {"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestSlowWriterIsFollowed(t *testing.T) {
	input, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer input.Close()
	defer writer.Close()
	cfg := sourceConfig("lines")
	limits := connector.Limits{Rows: 1000, Bytes: 1 << 20, Age: time.Millisecond}
	source, err := newSource(connector.Env{Budget: connector.NewBudget(limits)}, &cfg, input)
	if err != nil {
		t.Fatal(err)
	}
	decode := source.(connector.Decoder).NewDecode()
	for i := range 3 {
		if _, err := fmt.Fprintf(writer, "line %d\npart", i); err != nil {
			t.Fatal(err)
		}
		chunk, err := source.Read(t.Context())
		if err == nil {
			chunk, err = decode(chunk)
		}
		if err != nil || chunk.Batch.Rows() != 1 {
			t.Fatalf("read %d: %v, %v", i, err, chunk.Batch)
		}
		chunk.Release()
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { _, err := source.Read(ctx); ended <- err }()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("read ended by %v", err)
	}
	go func() { _, err := source.Read(t.Context()); ended <- err }()
	if err := source.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, io.EOF) {
		t.Errorf("read ended by %v", err)
	}
}

// endless is a record without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestWhatStandardStreamsCannotDo(t *testing.T) {
	cfg := sourceConfig("lines")
	source, err := newSource(connector.Env{}, &cfg, strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	if err := source.Open(t.Context(), connector.Partition{}, connector.Position{1}); err == nil {
		t.Error("standard input was resumed")
	}
	cfg.Format = "xml"
	if _, err := newSource(connector.Env{}, &cfg, nil); err == nil {
		t.Error("format xml was accepted")
	}
	if _, err := newSink(&SinkConfig{Format: "lines", Delimiter: ",", Template: "{"}, nil); err == nil {
		t.Error("template { was accepted")
	}
	cfg = sourceConfig("ndjson")
	cfg.MaxRecordBytes = 10
	if source, err = newSource(connector.Env{}, &cfg, endless{}); err != nil {
		t.Fatal(err)
	}
	var tooLong *connector.Error
	if _, err := source.Read(t.Context()); !errors.As(err, &tooLong) || tooLong.Code != "record_too_long" {
		t.Errorf("an endless record: %v", err)
	}
	for url, want := range map[string]string{"-": "map[]", "stdio:csv": "map[format:csv]", "stdio:xml": "none of"} {
		config, err := Connector().FromURL(url)
		if got := fmt.Sprint(config, err); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
}

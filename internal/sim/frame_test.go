package sim

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// goldenLogin is the request as a client of the service sends it.
const goldenLogin = "00.9.10\x0100\x010000000024login\x01anonymous\x01123456\x010\x01359766228"

func TestParseGolden(t *testing.T) {
	got, refused := parseRequest([]byte(goldenLogin))
	if refused != nil {
		t.Fatalf("refused: %v", refused)
	}
	if want := []string{"login", "anonymous", "123456", "0"}; got.version != "00.9.10" || got.kind != "00" ||
		!slices.Equal(got.fields, want) {
		t.Errorf("got %+v", got)
	}
}

func TestParseRefuses(t *testing.T) {
	framed := func(text string) string {
		return fmt.Sprintf("%s\x01%d", text, crc32.ChecksumIEEE([]byte(text)))
	}
	for _, c := range []struct{ name, line, code string }{
		{"empty", "", "10004019"},
		{"short", "00.9.10\x0100", "10004019"},
		{"no separators", strings.Repeat("x", 40), "10004019"},
		{"type", framed("00.9.10\x01x0\x010000000005login"), "10004019"},
		{"length", framed("00.9.10\x0100\x010000000006login"), "10004019"},
		{"length in bytes", framed("00.9.10\x0145\x010000000006浦发"), "10004019"},
		{"length no number", framed("00.9.10\x0100\x01000000000-login"), "10004019"},
		{"no sum", "00.9.10\x0100\x010000000005login", "10004019"},
		{"sum", strings.Replace(goldenLogin, "359766228", "359766229", 1), "10004001"},
		{"sum padded", strings.Replace(goldenLogin, "359766228", "0359766228", 1), "10004001"},
	} {
		if _, refused := parseRequest([]byte(c.line)); refused == nil || refused.code != c.code {
			t.Errorf("%s: got %v, want %s", c.name, refused, c.code)
		}
	}
	if _, refused := parseRequest([]byte(framed("00.9.10\x0145\x010000000002浦发"))); refused != nil {
		t.Errorf("length in code points: %v", refused)
	}
}

// TestFrames compares with frames written by hand from the description of the protocol.
func TestFrames(t *testing.T) {
	head := "00.9.00\x0104\x010000000016" // code points: the message has seven
	body := "10004020\x01错误的消息类型"
	want := fmt.Sprintf("%s%s\x01%d<![CDATA[]]>\n", head, body, crc32.ChecksumIEEE([]byte(head+body)))
	if got := string(appendFrame(nil, "04", []byte(body))); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	var p packer
	for range 2 { // the second use of a packer is as the first
		got, err := p.appendPacked(nil, "96", []byte("0\x01success"))
		if err != nil {
			t.Fatal(err)
		}
		stream := p.out.Bytes()
		if !bytes.HasPrefix(stream, []byte{0x78, 0x01}) {
			t.Errorf("stream begins with % x, want 78 01", stream[:2])
		}
		start := fmt.Sprintf("00.9.00\x0196\x01%010d%s", len(stream), stream)
		want := fmt.Sprintf("%s\x01%d\n<![CDATA[]]>\n", start, crc32.ChecksumIEEE([]byte(start)))
		if string(got) != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if a, err := takeApart(got); err != nil || !a.sumOK || !slices.Equal(a.body, []string{"0", "success"}) {
			t.Errorf("taken apart: %+v, %v", a, err)
		}
	}
}

func TestAnswerKind(t *testing.T) {
	for kind := range queries() {
		number, err := strconv.Atoi(kind)
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("%02d", number+1)
		if kind == "53" {
			want = "56"
		}
		if got := answerKind(kind); got != want {
			t.Errorf("%s is answered with %q, want %q", kind, got, want)
		}
	}
}

func TestAppendJSON(t *testing.T) {
	if got, want := string(appendJSON(nil, "浦\"\\\t\x1f")), `"浦\"\\\u0009\u001f"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// FuzzParseRequest holds the parser to the framing: what it takes, framed again, is the same line.
func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(goldenLogin))
	f.Add([]byte(""))
	f.Add(bytes.TrimSuffix(makeRequest("00.9.10", "45", "query_stock_basic", "anonymous", "1", "10000", "", "浦发"), []byte("\n")))
	f.Add(bytes.Repeat([]byte{1}, 40))
	f.Fuzz(func(t *testing.T, line []byte) {
		got, refused := parseRequest(line)
		if refused != nil {
			if len(refused.code) != 8 || refused.message == "" {
				t.Errorf("refused by %+v", refused)
			}
			return
		}
		again := makeRequest(got.version, got.kind, got.fields...)
		if !bytes.Equal(again, append(bytes.Clone(line), '\n')) {
			t.Errorf("got %q of %q", again, line)
		}
	})
}

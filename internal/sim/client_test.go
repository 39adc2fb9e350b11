package sim

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// naive is a client as plain as can be: it reads to the tail, as the vendor's does.
type naive struct {
	conn net.Conn
	in   *bufio.Reader
	user string
}

// answer is a response taken apart.
type answer struct {
	kind   string
	body   []string
	rows   [][]string
	pages  int
	sumOK  bool
	stream []byte // of type 96
}

var errRefused = errors.New("refused")

func dial(t testing.TB, s *Server) *naive {
	t.Helper()
	conn, err := net.Dial("tcp", s.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &naive{conn: conn, in: bufio.NewReader(conn)}
}

// login dials and logs in.
func login(t testing.TB, s *Server) *naive {
	t.Helper()
	c := dial(t, s)
	if a := c.must(t, "00", "login", "anonymous", "123456", "0"); a.kind != "01" || a.body[0] != "0" {
		t.Fatalf("login: got %v", a)
	}
	c.user = "anonymous"
	return c
}

// makeRequest frames a request.
func makeRequest(version, kind string, fields ...string) []byte {
	body := strings.Join(fields, "\x01")
	text := fmt.Sprintf("%s\x01%s\x01%010d%s", version, kind, utf8.RuneCountInString(body), body)
	return fmt.Appendf(nil, "%s\x01%d\n", text, crc32.ChecksumIEEE([]byte(text)))
}

// ask sends one request and reads one answer.
func (c *naive) ask(kind string, fields ...string) (answer, error) {
	return c.raw(makeRequest("00.9.10", kind, fields...))
}

func (c *naive) raw(request []byte) (answer, error) {
	if _, err := c.conn.Write(request); err != nil {
		return answer{}, err
	}
	return c.read()
}

func (c *naive) read() (answer, error) {
	var got []byte
	for !bytes.HasSuffix(got, []byte("<![CDATA[]]>\n")) {
		part, err := c.in.ReadBytes('\n')
		got = append(got, part...)
		if err != nil {
			return answer{}, fmt.Errorf("after %d bytes: %w", len(got), err)
		}
	}
	return takeApart(got)
}

func (c *naive) must(t testing.TB, kind string, fields ...string) answer {
	t.Helper()
	a, err := c.ask(kind, fields...)
	if err != nil {
		t.Fatalf("ask %s %q: %v", kind, fields, err)
	}
	return a
}

// takeApart checks the frame and unpacks it.
func takeApart(got []byte) (answer, error) {
	if string(got[:8]) != "00.9.00\x01" || got[10] != 1 {
		return answer{}, fmt.Errorf("header %q", got[:21])
	}
	a := answer{kind: string(got[8:10])}
	length, err := strconv.Atoi(string(got[11:21]))
	if err != nil {
		return a, err
	}
	rest := strings.TrimSuffix(string(got), "<![CDATA[]]>\n")
	end := strings.LastIndexByte(rest, 1)
	body := got[21:end]
	sum := rest[end+1:]
	if a.kind == "96" {
		if sum, ok := strings.CutSuffix(sum, "\n"); !ok || len(body) != length {
			return a, fmt.Errorf("packed frame: length %d of %d, sum %q", length, len(body), sum)
		}
		sum = strings.TrimSuffix(sum, "\n")
		a.stream = body
		unpack, err := zlib.NewReader(bytes.NewReader(body))
		if err != nil {
			return a, err
		}
		if body, err = io.ReadAll(unpack); err != nil {
			return a, fmt.Errorf("unpack: %w", err)
		}
	} else if utf8.RuneCount(body) != length {
		return a, fmt.Errorf("length %d of %d code points", length, utf8.RuneCount(body))
	}
	a.sumOK = sum == strconv.FormatUint(uint64(crc32.ChecksumIEEE(got[:end])), 10)
	a.body = strings.Split(string(body), "\x01")
	if len(a.body) > 6 && a.body[6] != "" {
		var data struct{ Record [][]string }
		text := strings.Map(func(r rune) rune {
			if unicode.IsSpace(r) {
				return -1
			}
			return r
		}, a.body[6])
		if err := json.Unmarshal([]byte(text), &data); err != nil {
			return a, err
		}
		a.rows = data.Record
	}
	return a, nil
}

// query asks for all pages, as the vendor's client: the next one after 10,000 rows or more.
func (c *naive) query(t testing.TB, kind, method string, args ...string) answer {
	t.Helper()
	a, err := c.tryQuery(kind, method, args...)
	if err != nil {
		t.Fatalf("%s %q: %v", method, args, err)
	}
	return a
}

func (c *naive) tryQuery(kind, method string, args ...string) (answer, error) {
	var all answer
	for page := 1; ; page++ {
		fields := append([]string{method, c.user, strconv.Itoa(page), "10000"}, args...)
		a, err := c.ask(kind, fields...)
		if err != nil {
			return a, err
		}
		if a.body[0] != "0" {
			return a, fmt.Errorf("%w: %s %s", errRefused, a.body[0], a.body[1])
		}
		if want := fields; a.body[2] != want[0] || a.body[3] != want[1] || a.body[4] != want[2] || a.body[5] != want[3] {
			return a, fmt.Errorf("echo %q of %q", a.body[2:6], want)
		}
		rows := append(all.rows, a.rows...)
		pages := all.pages + 1
		all = a
		all.rows, all.pages = rows, pages
		if len(a.rows) < 10_000 {
			return all, nil
		}
	}
}

// kdata asks for bars.
func (c *naive) kdata(t testing.TB, code, fields, from, to, frequency, adjust string) [][]string {
	t.Helper()
	return c.query(t, "95", "query_history_k_data_plus", code, fields, from, to, frequency, adjust).rows
}

// serve starts a server that ends with the test.
func serve(t testing.TB, config Config) *Server {
	t.Helper()
	s, err := Start(t.Context(), "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// sameRows compares many rows and shows the first that differ.
func sameRows(t testing.TB, what string, got, want [][]string) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if !slices.Equal(got[i], want[i]) {
			t.Fatalf("%s: row %d is %q, want %q", what, i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %d rows, want %d", what, len(got), len(want))
	}
}

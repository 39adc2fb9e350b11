package baostock

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

// fake is a service that answers as it is told: one connection or more, one script for all.
type fake struct {
	t      testing.TB
	answer func(n int, r fakeRequest) []byte // nil: the answer to the usual questions
	rows   func(r fakeRequest) (fields []string, rows [][]string)

	mu       sync.Mutex
	requests []fakeRequest
	conns    int
	wait     sync.WaitGroup
}

// fakeRequest is a request as it came.
type fakeRequest struct {
	version string
	typ     int
	parts   []string
	conn    int // number of the connection, from 1
	n       int // of the request among all, from 1
}

func (r fakeRequest) method() string { return r.parts[0] }

// arg returns an argument of a query.
func (r fakeRequest) arg(i int) string { return r.parts[4+i] }

// Orders to the fake instead of bytes.
var (
	hangUp = []byte("hang up")
	stall  = []byte("stall")
)

// dial opens a connection to the fake; no port is used, so that synctest's clock applies.
func (f *fake) dial(context.Context, string) (net.Conn, error) {
	client, server := net.Pipe()
	f.mu.Lock()
	f.conns++
	conn := f.conns
	f.mu.Unlock()
	f.wait.Go(func() {
		defer server.Close()
		f.serve(server, conn)
	})
	return client, nil
}

func (f *fake) serve(server net.Conn, conn int) {
	in := bufio.NewReader(server)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		r, err := parseFakeRequest(line)
		if err != nil {
			f.t.Errorf("request %q: %v", line, err)
			return
		}
		f.mu.Lock()
		r.conn, r.n = conn, len(f.requests)+1
		f.requests = append(f.requests, r)
		f.mu.Unlock()
		out := f.reply(r)
		switch {
		case bytes.Equal(out, hangUp):
			return
		case bytes.Equal(out, stall):
			_, _ = io.Copy(io.Discard, in)
			return
		}
		cut := bytes.HasSuffix(out, hangUp)
		if _, err := server.Write(bytes.TrimSuffix(out, hangUp)); err != nil || cut {
			return
		}
		if r.method() == "logout" {
			return
		}
	}
}

func (f *fake) reply(r fakeRequest) []byte {
	if f.answer != nil {
		if out := f.answer(r.n, r); out != nil {
			return out
		}
	}
	switch r.method() {
	case "login", "logout":
		return plainFrame(r.typ+1, join("0", "success", r.method(), "me", "20240102180000000"))
	}
	if f.rows == nil {
		return plainFrame(4, join("10004020", "错误的消息类型"))
	}
	fields, rows := f.rows(r)
	return f.page(r, fields, rows)
}

// page answers with the page of the rows that is asked for.
func (f *fake) page(r fakeRequest, fields []string, rows [][]string) []byte {
	var number, size int
	if _, err := fmt.Sscan(r.parts[2], &number); err != nil {
		f.t.Error(err)
	}
	if _, err := fmt.Sscan(r.parts[3], &size); err != nil {
		f.t.Error(err)
	}
	from := min((number-1)*size, len(rows))
	return answerFrame(r, fields, records(rows[from:min(from+size, len(rows))]))
}

// records spells rows as the service does; none are no text at all.
func records(rows [][]string) string {
	if len(rows) == 0 {
		return ""
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(map[string]any{"record": rows}); err != nil {
		panic(err.Error())
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// answerFrame is a successful answer with the given data.
func answerFrame(r fakeRequest, fields []string, data string) []byte {
	head := []string{"0", "success", r.method(), r.parts[1], r.parts[2], r.parts[3], data}
	args := r.parts[4:]
	if r.typ == 95 {
		echo := []string{args[0], strings.Join(fields, ","), args[2], args[3], args[4], args[5]}
		return zippedFrame(join(append(head, echo...)...))
	}
	typ := r.typ + 1
	if typ == 54 {
		typ = 56
	}
	return plainFrame(typ, join(append(append(head, args...), strings.Join(fields, ", "))...))
}

func join(parts ...string) string { return strings.Join(parts, "\x01") }

const fakeVersion = "00.9.00"

func plainFrame(typ int, body string) []byte {
	head := fmt.Sprintf("%s\x01%02d\x01%010d%s", fakeVersion, typ, utf8.RuneCountInString(body), body)
	return fmt.Appendf(nil, "%s\x01%d<![CDATA[]]>\n", head, crc32.ChecksumIEEE([]byte(head)))
}

func zip(body string) []byte {
	var b bytes.Buffer
	w, err := zlib.NewWriterLevel(&b, 1)
	if err == nil {
		_, err = w.Write([]byte(body))
	}
	if err = errors.Join(err, w.Close()); err != nil {
		panic(err.Error())
	}
	return b.Bytes()
}

func zippedFrame(body string) []byte {
	zipped := zip(body)
	return rawZipped(len(zipped), zipped)
}

func rawZipped(length int, zipped []byte) []byte {
	out := fmt.Appendf(nil, "%s\x0196\x01%010d", fakeVersion, length)
	return append(append(out, zipped...), "\x012596000000\n<![CDATA[]]>\n"...)
}

// parseFakeRequest checks every byte of a request.
func parseFakeRequest(line []byte) (fakeRequest, error) {
	text, sum, ok := cutLast(string(line[:len(line)-1]), "\x01")
	if !ok || len(text) < 21 {
		return fakeRequest{}, errors.New("no checksum")
	}
	if want := strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(text))), 10); sum != want {
		return fakeRequest{}, fmt.Errorf("checksum %s, want %s", sum, want)
	}
	head, body := text[:21], text[21:]
	var r fakeRequest
	var length int
	if _, err := fmt.Sscanf(head[8:], "%02d\x01%010d", &r.typ, &length); err != nil {
		return r, err
	}
	r.version = head[:7]
	r.parts = strings.Split(body, "\x01")
	if got := utf8.RuneCountInString(body); got != length {
		return r, fmt.Errorf("%d characters, its header says %d", got, length)
	}
	return r, nil
}

func cutLast(text, at string) (before, after string, ok bool) {
	i := strings.LastIndex(text, at)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(at):], true
}

// asked returns the methods of all requests, in order.
func (f *fake) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	for _, r := range f.requests {
		list = append(list, r.method())
	}
	return list
}

// count returns how many requests had the method.
func (f *fake) count(method string) int {
	n := 0
	for _, m := range f.asked() {
		if m == method {
			n++
		}
	}
	return n
}

// config is one that asks the fake as fast as it answers.
func (f *fake) config() Config {
	cfg := Defaults()
	cfg.Dial, cfg.RequestsPerSecond = f.dial, 0
	cfg.Now = func() time.Time { return time.Date(2024, 7, 1, 20, 0, 0, 0, exchangeZone) }
	return cfg
}

// client returns one that asks the fake, and closes it before the test ends.
func (f *fake) client(change ...func(*Config)) *Client {
	f.t.Helper()
	cfg := f.config()
	for _, c := range change {
		c(&cfg)
	}
	c, err := NewClient(cfg, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		if err := c.Close(); err != nil {
			f.t.Errorf("close: %v", err)
		}
		f.wait.Wait()
	})
	return c
}

// bars are n days of a symbol, as k-data with the fields asked for.
func bars(n int) func(r fakeRequest) ([]string, [][]string) {
	return func(r fakeRequest) ([]string, [][]string) {
		fields := strings.Split(r.arg(1), ",")
		var rows [][]string
		for i := range n {
			day := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, i)
			rows = append(rows, bar(fields, r.arg(0), day, i))
		}
		rows = slices.DeleteFunc(rows, func(row []string) bool {
			date := row[slices.Index(fields, "date")]
			return date < r.arg(2) || date > r.arg(3)
		})
		return fields, rows
	}
}

func bar(fields []string, code string, day time.Time, i int) []string {
	values := map[string]string{
		"date": day.Format(time.DateOnly), "code": code, "open": fmt.Sprintf("%d.2500000000", 7+i%90),
		"high": fmt.Sprintf("%d.9900000000", 7+i%90), "low": fmt.Sprintf("%d.0100000000", 7+i%90),
		"close": fmt.Sprintf("%d.5000000000", 7+i%90), "preclose": "7.4900000000",
		"volume": strconv.Itoa(1_000_000 + i), "amount": fmt.Sprintf("%d.1234", 9_000_000+i),
		"adjustflag": "3", "turn": "0.123456", "tradestatus": "1", "pctChg": "-0.133333", "isST": "0",
		"peTTM": "5.123456", "pbMRQ": "0.512345", "psTTM": "1.000001", "pcfNcfTTM": "-3.141592",
		"time": day.Format("20060102") + "093500000",
	}
	row := make([]string, len(fields))
	for k, field := range fields {
		row[k] = values[field]
	}
	return row
}

// names is a short list as those of constituents.
func names(fakeRequest) ([]string, [][]string) {
	return []string{"updateDate", "code", "code_name"}, [][]string{{"2024-06-24", "sh.600000", "浦发银行"}}
}

package baostock

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/internal/market"
)

// FuzzRecords holds split and texts against encoding/json: what is a list of lists of texts for it is
// the same for us, and what is none for it is refused, as a whole or in a record.
func FuzzRecords(f *testing.F) {
	for _, seed := range []string{
		``, `{"record":[]}`, `{"record":[["a","b"],["c","d"]]}`, ` { "record" : [ [ "a" , "" ] , [null,"\u6d66\n\""] ] } `,
		`{"record":[["a","],["],["\"],[","b"],["x",["y"],["z"]],["c\\"],["d"]]}`, `{"record":[1,{"a":[2]},[3],"x"]}`,
		`{"record":[["x",{"a":"],["}],["b"]]}`, `{"record":[["a",],["b"]]}`, `{"record":[["a" "b"],["b"]]}`, `{"record":[["a"],["b"]`, `{"record":[["a]"],["b"]]}x`,
		`{"record":[["","",""],["","",""]]}`, `{"record":[["a","b"],["c"],[]]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p := &page{number: 1, answer: answer{data: data, fields: []string{"a", "b"}}}
		splitErr := p.split(&keySet{field: "a"})
		var list struct{ Record []json.RawMessage }
		jsonErr := json.Unmarshal(data, &list)
		if len(data) == 0 {
			if splitErr != nil || p.records() != 0 {
				t.Fatalf("no text: %v", splitErr)
			}
			return
		}
		sound := jsonErr == nil && bytes.HasPrefix(bytes.TrimLeft(bytes.TrimLeft(data, " \n\r\t{"), " \n\r\t"), []byte(`"record"`))
		if !sound || !onlyRecord(data) {
			return
		}
		if splitErr != nil {
			t.Fatalf("%q: %v", data, splitErr)
		}
		if p.records() != len(list.Record) {
			t.Fatalf("%q: %d records, want %d", data, p.records(), len(list.Record))
		}
		var r recordReader
		for i, raw := range list.Record {
			if !bytes.Equal(p.record(i), raw) {
				t.Fatalf("%q: record %d is %q, want %q", data, i, p.record(i), raw)
			}
			compareTexts(t, &r, raw)
		}
	})
}

// onlyRecord reports whether the object has one member, record, that is a list.
func onlyRecord(data []byte) bool {
	d := json.NewDecoder(bytes.NewReader(data))
	first, _ := d.Token()
	name, _ := d.Token()
	var list []json.RawMessage
	if first != json.Delim('{') || name != "record" || d.Decode(&list) != nil || list == nil {
		return false
	}
	end, _ := d.Token()
	return end == json.Delim('}')
}

func compareTexts(t *testing.T, r *recordReader, raw []byte) {
	t.Helper()
	got := []string{}
	wrong := r.texts(raw, func(text []byte) { got = append(got, string(text)) })
	var list []*string
	if json.Unmarshal(raw, &list) != nil || !utf8.Valid(raw) || raw[0] != '[' {
		if len(raw) > 0 && raw[0] != '[' && wrong == "" {
			t.Fatalf("%q was read", raw)
		}
		return
	}
	want := []string{}
	for _, value := range list {
		text := ""
		if value != nil {
			text = strings.TrimSpace(*value)
		}
		for _, ch := range text {
			if ch < ' ' && !blank(byte(ch)) {
				return
			}
		}
		want = append(want, text)
	}
	if diff := cmp.Diff(want, got); wrong != "" || diff != "" {
		t.Fatalf("%q: %s%s", raw, wrong, diff)
	}
}

// FuzzRead reads any text as records of bars. Whatever it is, there are as many rows and bad rows as
// records, and a record that is read has the values that encoding/json finds.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		`{"record":[["2000-01-01","sh.600000","7.1","8","7","7.5","7.4","100","1.5","3","","1","","0"]]}`,
		`{"record":[["2000-01-01","sh.600000","7.1","8","7","7.5","7.4","","1.5","3","","1","","0"],["2000-01-02"]]}`,
		`{"record":[[ "2000-01-01" ,"sh.600000","-7.1000000000","8.","007","7.5e0","+7.4"," 1 ",1.5,"3",null,"1","","0"],["x","]"],["a"]]}`,
		`{"record":[["2000-01-01","sh.600000","7.1","8","7","7.5","7.4","100","1.5","3","","1","a" "0"],["2000-01-01"]]}`,
	} {
		f.Add([]byte(seed))
	}
	u := unit("bar_1d", "600000.XSHG", "2000-01-01", "2000-01-31")
	u.Source, u.State = Name, "ok"
	planned, err := calls([]market.Unit{u})
	if err != nil {
		f.Fatal(err)
	}
	c := &planned[0]
	fields := strings.Split(c.args[1], ",")
	f.Fuzz(func(t *testing.T, data []byte) {
		p := &page{number: 1, answer: answer{data: data, fields: fields, perPage: pageRows}}
		p.refs.Store(2)
		if p.split(&keySet{field: c.key}) != nil {
			return
		}
		one := newPiece(p, 0, p.records(), c, 0, 0, u)
		var r recordReader
		if err := one.decode(&r); err != nil {
			t.Fatal(err)
		}
		if got := one.batch.Len() + len(one.bad); got != p.records() {
			t.Fatalf("%q: %d rows and bad rows of %d records", data, got, p.records())
		}
		for row := range one.batch.Len() {
			record := p.record(int(one.batch.Origin().At(row).Record) - 1)
			lenient := bytes.IndexFunc(record, func(ch rune) bool { return ch < ' ' || ch == '\\' }) >= 0
			if !lenient && bytes.Count(record, []byte(`"`)) == 2*len(fields) && !json.Valid(record) {
				t.Fatalf("%q was read", record)
			}
		}
		one.release()
	})
}

// FuzzFrame reads any bytes as an answer, and in pieces: it ends, with the same result, and what is
// read has the length its header says.
func FuzzFrame(f *testing.F) {
	f.Add(plainFrame(4, join("10004020", "错误的消息类型")))
	f.Add(zippedFrame(join("0", "success", "浦发")))
	f.Add(plainFrame(2, "a<![CDATA[]]>\nb"))
	f.Add(rawZipped(5, []byte("abcde")))
	f.Add([]byte("00.9.00\x0196\x010000000003"))
	f.Fuzz(func(t *testing.T, data []byte) {
		whole := frameReader{source: bytes.NewReader(data)}
		got, err := whole.next(nil)
		pieces := frameReader{source: iotest.OneByteReader(bytes.NewReader(data))}
		same, other := pieces.next(nil)
		// Bytes behind an answer are seen only by who reads them with it.
		if behind := err != nil && strings.Contains(err.Error(), "follows it"); !behind && fmt.Sprint(err) != fmt.Sprint(other) {
			t.Fatalf("at once %v, in pieces %v", err, other)
		}
		if err == nil && (got.typ != same.typ || !bytes.Equal(got.body, same.body)) {
			t.Fatalf("at once %q, in pieces %q", got.body, same.body)
		}
		if err == nil && got.typ != typeZipped && !bytes.Equal(data[headerLength:headerLength+len(got.body)], got.body) {
			t.Fatalf("body %q of %q", got.body, data)
		}
		if errors.Is(err, io.EOF) && len(data) > 0 {
			t.Fatalf("a cut answer looks like the end of the connection: %v", err)
		}
	})
}

// FuzzPaging reads results of any size, with any order of keys: every row comes once, in order.
func FuzzPaging(f *testing.F) {
	for _, rows := range []uint16{0, 1, 2, 3, 4, 9, 10} {
		f.Add(rows, uint8(2), uint8(3))
	}
	f.Fuzz(func(t *testing.T, rows uint16, size, batchRows uint8) {
		total, perPage := int(rows%200), max(1, int(size%20))
		fake := &fake{t: t}
		fake.rows = func(r fakeRequest) ([]string, [][]string) {
			r.parts[3] = strconv.Itoa(perPage) // a service with smaller pages than were asked for
			return bars(total)(r)
		}
		cfg := fake.config()
		cfg.Units = []market.Unit{unit("bar_1d", "600000.XSHG", "2000-01-01", "2020-01-01")}
		got, _ := told(t, cfg, nil, max(1, int(batchRows)))
		fake.wait.Wait()
		if len(got) != total+1 || !strings.Contains(got[total], fmt.Sprintf(`"rows":%d,`, total)) {
			t.Fatalf("%d rows of %d in pages of %d: %s", len(got)-1, total, perPage, got[len(got)-1])
		}
		for i := 1; i < total; i++ {
			if got[i-1] >= got[i] {
				t.Fatalf("%s\nbefore\n%s", got[i-1], got[i])
			}
		}
		if want := total/perPage + 1; fake.count(KData.String()) != want {
			t.Fatalf("%d requests for %d rows in pages of %d, want %d", fake.count(KData.String()), total, perPage, want)
		}
	})
}

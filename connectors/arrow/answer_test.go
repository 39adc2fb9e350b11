package arrow

import (
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/tapeline/tapeline/batch"
)

// answer is a file of Arrow's integration format: what a binary file holds, as JSON.
type answer struct {
	Schema struct {
		Fields   []answerField     `json:"fields"`
		Metadata []json.RawMessage `json:"metadata"`
	} `json:"schema"`
	Dictionaries []struct {
		ID   int         `json:"id"`
		Data answerBatch `json:"data"`
	} `json:"dictionaries"`
	Batches []answerBatch `json:"batches"`
}

type answerField struct {
	Name string `json:"name"`
	Type struct {
		Name     string `json:"name"`
		Unit     string `json:"unit"`
		Mode     string `json:"mode"`
		TypeIDs  []int  `json:"typeIds"`
		ListSize int    `json:"listSize"`
	} `json:"type"`
	Children   []answerField `json:"children"`
	Dictionary *struct {
		ID int `json:"id"`
	} `json:"dictionary"`
}

type answerBatch struct {
	Count   int            `json:"count"`
	Columns []answerColumn `json:"columns"`
}

type answerColumn struct {
	Validity []int             `json:"VALIDITY"`
	Offset   []json.Number     `json:"OFFSET"`
	TypeID   []int             `json:"TYPE_ID"`
	Data     []json.RawMessage `json:"DATA"`
	Children []answerColumn    `json:"children"`
}

func readAnswer(t *testing.T, path string) *answer {
	t.Helper()
	packed, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	plain, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	a := &answer{}
	if err := json.NewDecoder(plain).Decode(a); err != nil {
		t.Fatal(err)
	}
	return a
}

// rows spells all values, a line a row.
func (a *answer) rows() []string {
	var rows []string
	for _, b := range a.Batches {
		for i := range b.Count {
			cells := make([]string, len(b.Columns))
			for k, c := range b.Columns {
				cells[k] = a.value(a.Schema.Fields[k], c, i)
			}
			rows = append(rows, strings.Join(cells, "|"))
		}
	}
	return rows
}

func offsetAt(c answerColumn, i int) int {
	n, err := strconv.Atoi(strings.Trim(c.Offset[i].String(), `"`))
	if err != nil {
		panic("offset: " + err.Error())
	}
	return n
}

// value spells one value as spell does.
func (a *answer) value(f answerField, c answerColumn, i int) string {
	if f.Dictionary != nil {
		if c.Validity[i] == 0 {
			return "null"
		}
		index, err := strconv.Atoi(string(c.Data[i]))
		if err != nil {
			panic("index: " + err.Error())
		}
		for _, d := range a.Dictionaries {
			if d.ID == f.Dictionary.ID {
				plain := f
				plain.Dictionary = nil
				return a.value(plain, d.Data.Columns[0], index)
			}
		}
	}
	switch {
	case f.Type.Name == "null", c.Validity != nil && c.Validity[i] == 0:
		return "null"
	case f.Type.Name == "union":
		return a.union(f, c, i)
	case len(f.Children) > 0:
		return a.nested(f, c, i)
	}
	text := string(c.Data[i])
	var unquoted string
	if json.Unmarshal(c.Data[i], &unquoted) == nil {
		text = unquoted
	}
	return a.scalar(f, text)
}

func (a *answer) scalar(f answerField, text string) string {
	number := func(factor int64) string {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			panic("number: " + err.Error())
		}
		return strconv.FormatInt(n*factor, 10)
	}
	switch f.Type.Name {
	case "bool":
		return strconv.FormatBool(text == "true" || text == "1")
	case "floatingpoint":
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			panic("float: " + err.Error())
		}
		return fmt.Sprintf("%.3f", v)
	case "binary", "fixedsizebinary", "largebinary":
		return strings.ToLower(text)
	case "date":
		if f.Type.Unit == "MILLISECOND" {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				panic("date: " + err.Error())
			}
			return strconv.FormatInt(floorDiv(n, 86_400_000), 10)
		}
	case "time":
		switch f.Type.Unit {
		case "SECOND":
			return number(1e6)
		case "MILLISECOND":
			return number(1e3)
		}
	case "interval":
		return strings.Map(func(ch rune) rune {
			if ch == ' ' || ch == '\n' {
				return -1
			}
			return ch
		}, text)
	}
	return text
}

func floorDiv(a, b int64) int64 {
	if a%b < 0 {
		return a/b - 1
	}
	return a / b
}

func (a *answer) union(f answerField, c answerColumn, i int) string {
	for k, id := range f.Type.TypeIDs {
		if id != c.TypeID[i] {
			continue
		}
		at := i
		if f.Type.Mode == "DENSE" {
			at = offsetAt(c, i)
		}
		return fmt.Sprintf("%d:%s", id, a.value(f.Children[k], c.Children[k], at))
	}
	return "no such type"
}

func (a *answer) nested(f answerField, c answerColumn, i int) string {
	var parts []string
	if f.Type.Name == "struct" {
		for k, child := range f.Children {
			parts = append(parts, a.value(child, c.Children[k], i))
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	from, to := i*f.Type.ListSize, (i+1)*f.Type.ListSize
	if f.Type.Name != "fixedsizelist" {
		from, to = offsetAt(c, i), offsetAt(c, i+1)
	}
	for k := from; k < to; k++ {
		parts = append(parts, a.value(f.Children[0], c.Children[0], k))
	}
	return "[" + strings.Join(parts, ",") + "]"
}

// spellRows spells a batch after its way back to Arrow.
func spellRows(b *batch.Batch) []string {
	record := batch.ToArrow(b)
	rows := make([]string, b.Len())
	for i := range rows {
		cells := make([]string, record.NumCols())
		for k := range cells {
			cells[k] = spell(record.Column(k), i)
		}
		rows[i] = strings.Join(cells, "|")
	}
	return rows
}

func spell(a arrow.Array, i int) string {
	if _, none := a.(*array.Null); none || a.IsNull(i) {
		return "null"
	}
	switch a := a.(type) {
	case array.Union:
		id := a.TypeCode(i)
		child := a.Field(a.ChildID(i))
		at := i
		if dense, ok := a.(*array.DenseUnion); ok {
			at = int(dense.ValueOffset(i))
		}
		return fmt.Sprintf("%d:%s", id, spell(child, at))
	case *array.Struct:
		parts := make([]string, a.NumField())
		for k := range parts {
			parts[k] = spell(a.Field(k), i)
		}
		return "{" + strings.Join(parts, ",") + "}"
	case array.ListLike:
		var parts []string
		from, to := a.ValueOffsets(i)
		for k := from; k < to; k++ {
			parts = append(parts, spell(a.ListValues(), int(k)))
		}
		return "[" + strings.Join(parts, ",") + "]"
	case *array.Dictionary:
		return spell(a.Dictionary(), a.GetValueIndex(i))
	case array.ExtensionArray:
		return spell(a.Storage(), i)
	case *array.Float32:
		return fmt.Sprintf("%.3f", a.Value(i))
	case *array.Float64:
		return fmt.Sprintf("%.3f", a.Value(i))
	case *array.Binary:
		return hex.EncodeToString(a.Value(i))
	case *array.FixedSizeBinary:
		return hex.EncodeToString(a.Value(i))
	case *array.String:
		return a.Value(i)
	case *array.Date32:
		return strconv.Itoa(int(a.Value(i)))
	case *array.Time64:
		return strconv.FormatInt(int64(a.Value(i)), 10)
	case *array.Timestamp:
		return strconv.FormatInt(int64(a.Value(i)), 10)
	case *array.Duration:
		return strconv.FormatInt(int64(a.Value(i)), 10)
	}
	return strings.Trim(a.ValueStr(i), `"`)
}

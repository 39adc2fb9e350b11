package expr

import (
	"math"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
)

// operation says what a node does.
type operation uint8

const (
	opColumn      operation = iota // the column number node.column
	opConstant                     // node.constant
	opCompare                      // args[0] node.compare args[1], operands of one type
	opAnd                          // Kleene
	opOr                           // Kleene
	opNot                          //
	opIsNull                       // args[0] is NULL
	opArithmetic                   // args[0] node.arithmetic args[1], operands of the result's kind
	opCast                         // args[0] as node.typ; NULL on failure when node.try
	opIn                           // args[0] among node.set
	opText                         // args[0] contains, startsWith, endsWith args[1] (node.text)
	opConditional                  // args[0] ? args[1] : args[2]
	opCoalesce                     // first argument that is not NULL
	opCall                         // node.run over args
	opMember                       // member number node.column of struct args[0]
	opList                         // list literal of args
	opEach                         // node.each over list args[0] with predicate args[1]
	opElement                      // the element a predicate looks at
	opIndex                        // the element's index
)

// comparison is one of the six.
type comparison uint8

const (
	equal comparison = iota
	notEqual
	less
	lessEqual
	greater
	greaterEqual
)

// swapped returns the comparison with its operands exchanged.
func (c comparison) swapped() comparison {
	return [...]comparison{equal, notEqual, greater, greaterEqual, less, lessEqual}[c]
}

// holds says whether an order (-1, 0, 1) satisfies the comparison.
func (c comparison) holds(order int) bool {
	switch c {
	case equal:
		return order == 0
	case notEqual:
		return order != 0
	case less:
		return order < 0
	case lessEqual:
		return order <= 0
	case greater:
		return order > 0
	}
	return order >= 0
}

// arithmetic is one of the operators on numbers, and the joining of texts.
type arithmetic uint8

const (
	add arithmetic = iota
	subtract
	multiply
	divide
	remainder
	concatenate
)

var arithmeticNames = [...]string{"+", "-", "*", "/", "%", "+"}

// textTest is one of the tests of one text in another.
type textTest uint8

const (
	contains textTest = iota
	startsWith
	endsWith
)

// node is one typed operation of a bound expression. Small integers and Float32 appear only as
// opColumn; operators see them behind an opCast to Int64, Uint64 or Float64.
type node struct {
	op         operation
	typ        batch.Type
	args       []*node
	at         span
	id         int  // position among the program's nodes
	shared     bool // the result may reach the caller, so its memory is not reused
	column     int
	constant   value
	compare    comparison
	arithmetic arithmetic
	text       textTest
	try        bool           // opCast: failures give NULL
	zone       *time.Location // opCast between a date and a timestamp of that zone
	checkZero  bool           // opArithmetic on Float64 that came from integers
	literal    string         // opConstant: the number's source text, which a decimal reads again
	set        *constantSet
	name       string // opCall, opEach: the function
	run        function
	strict     bool   // opCall: any NULL argument gives NULL
	rowOnly    string // why the node has no column form; "" when it has one
	volatile   bool   // opCall: its value does not follow from its arguments alone
}

// value is one scalar or nested value. Its meaning follows from the type of its node: integers,
// Bool and moments in low, floats as bits in low, decimals in high and low, texts in text, nested
// values as row low of column or as list.
type value struct {
	null   bool
	low    uint64
	high   int64
	text   []byte
	column *batch.Column
	list   *[]value
}

// function computes one call. A reason other than "" fails the row. Texts may be built in the
// frame's arena; they last until the row ends.
type function func(f *frame, args []value) (result value, reason string)

func nullValue() value                 { return value{null: true} }
func intValue(v int64) value           { return value{low: uint64(v)} }
func uintValue(v uint64) value         { return value{low: v} }
func floatValue(v float64) value       { return value{low: math.Float64bits(v)} }
func textValue(v []byte) value         { return value{text: v} }
func stringValue(v string) value       { return value{text: []byte(v)} }
func listValue(elements []value) value { return value{list: &elements} }

func boolValue(v bool) value {
	if v {
		return value{low: 1}
	}
	return value{}
}

func decimalValue(v decimal128.Num) value {
	return value{low: v.LowBits(), high: v.HighBits()}
}

func (v value) int() int64              { return int64(v.low) }
func (v value) uint() uint64            { return v.low }
func (v value) float() float64          { return math.Float64frombits(v.low) }
func (v value) bool() bool              { return v.low != 0 }
func (v value) decimal() decimal128.Num { return decimal128.New(v.high, v.low) }

// length returns the number of elements of a list or entries of a map.
func (v value) length() int {
	if v.list != nil {
		return len(*v.list)
	}
	offsets := v.column.Offsets()
	return int(offsets[v.low+1] - offsets[v.low])
}

// element returns element i of a list.
func (v value) element(i int) value {
	if v.list != nil {
		return (*v.list)[i]
	}
	return load(v.column.Children()[0], int(v.column.Offsets()[v.low])+i)
}

// load reads a row of a dense column.
func load(c *batch.Column, row int) value {
	if c.IsNull(row) {
		return value{null: true}
	}
	typ := c.Type()
	switch typ.Kind {
	case batch.Int64, batch.Uint64, batch.Float64, batch.Time, batch.Timestamp, batch.Duration:
		return value{low: batch.Values[uint64](c)[row]}
	case batch.String, batch.JSON, batch.Binary:
		return value{text: c.Bytes(row)}
	case batch.Bool:
		return boolValue(c.Bits().Get(row))
	case batch.Decimal:
		return decimalValue(batch.Values[decimal128.Num](c)[row])
	case batch.Float32:
		return floatValue(c.Float(row))
	case batch.Int8, batch.Int16, batch.Int32, batch.Date:
		return intValue(c.Int(row))
	case batch.Uint8, batch.Uint16, batch.Uint32:
		return uintValue(c.Uint(row))
	}
	return value{column: c, low: uint64(row)}
}

// widened returns the type an operator sees for a column's type.
func widened(t batch.Type) batch.Type {
	switch t.Kind {
	case batch.Int8, batch.Int16, batch.Int32:
		return batch.Of(batch.Int64)
	case batch.Uint8, batch.Uint16, batch.Uint32:
		return batch.Of(batch.Uint64)
	case batch.Float32:
		return batch.Of(batch.Float64)
	}
	return t
}

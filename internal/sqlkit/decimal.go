package sqlkit

import "github.com/apache/arrow-go/v18/arrow/decimal128"

// Decimal is the 128-bit integer behind a decimal column.
type Decimal = decimal128.Num

// NewDecimal returns the value of two 64-bit halves in two's complement.
func NewDecimal(high int64, low uint64) Decimal { return decimal128.New(high, low) }

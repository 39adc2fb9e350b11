package workload

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"

	"github.com/tapeline/tapeline/internal/exchange/order"
)

// Digest is the SHA-256, in hexadecimal digits, of what a book answered, in the benchmark's form: a line for
// each report, by sequence and kind, trades as they happened. It changes the order of events.
func Digest(events []order.Event) string {
	slices.SortStableFunc(events, func(a, b order.Event) int {
		return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(kindOf(&a), kindOf(&b)))
	})
	hash := sha256.New()
	line := make([]byte, 0, 128)
	for i := range events {
		line = appendReport(line[:0], &events[i])
		if i > 0 {
			hash.Write([]byte{'\n'})
		}
		hash.Write(line)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// The benchmark's kinds of reports.
const (
	reportAccepted = iota
	reportTrade
	reportCancelled
	reportReplaced
	reportCancelRejected
	reportReplaceRejected
)

func kindOf(e *order.Event) int {
	switch e.What {
	case order.Accepted:
		return reportAccepted
	case order.Traded:
		return reportTrade
	case order.Cancelled:
		return reportCancelled
	case order.Replaced:
		return reportReplaced
	}
	if e.By == order.Cancel {
		return reportCancelRejected
	}
	return reportReplaceRejected
}

// appendReport appends a line: the kind, the sequence, and what the benchmark wants of such a report.
func appendReport(line []byte, e *order.Event) []byte {
	kind := kindOf(e)
	field := func(v int64) { line = strconv.AppendInt(append(line, ','), v, 10) }
	line = strconv.AppendInt(line, int64(kind), 10)
	field(int64(e.Seq))
	switch kind {
	case reportTrade:
		field(int64(e.Price))
		field(e.Qty)
		field(int64(e.Maker))
		field(int64(e.Order))
		return line
	case reportCancelRejected, reportReplaceRejected:
		field(int64(e.Order))
		return line
	}
	field(int64(e.Side))
	field(int64(e.Order))
	field(int64(e.Price))
	if kind != reportCancelled {
		field(e.Qty)
	}
	return line
}

package flow

import (
	"bufio"
	"io"
	"strconv"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/exchange"
	"github.com/tapeline/tapeline/internal/exchange/book"
	"github.com/tapeline/tapeline/internal/exchange/order"
	"github.com/tapeline/tapeline/internal/market"
)

// Writer writes reports, one JSON object a line.
type Writer struct {
	to   *bufio.Writer
	line []byte
}

// NewWriter returns a writer, to be flushed.
func NewWriter(to io.Writer) *Writer { return &Writer{to: bufio.NewWriterSize(to, 1<<20)} }

// Flush hands out what was written.
func (w *Writer) Flush() error { return w.to.Flush() }

// Event writes one report.
func (w *Writer) Event(names *exchange.Shard, e *order.Event) error {
	w.begin(e.Seq, e.What.String())
	w.number("id", int64(e.Order))
	if e.What == order.Traded {
		w.number("taker", int64(e.Order))
		w.number("maker", int64(e.Maker))
	}
	if symbol := names.SymbolName(e.Symbol); symbol != "" && (e.What != order.Rejected || e.By == order.New) {
		w.text("symbol", symbol)
		w.text("side", e.Side.String())
	}
	if e.What != order.Rejected {
		if account := names.AccountName(e.Account); account != "" {
			w.text("account", account)
		}
		if e.Price != 0 { // market orders have none
			w.text("price", market.FormatFixed(int64(e.Price), priceDecimals))
		}
		w.text("qty", strconv.FormatInt(e.Qty, 10))
		w.text("leaves", strconv.FormatInt(e.Leaves, 10))
	}
	if e.What == order.Traded {
		w.text("maker_leaves", strconv.FormatInt(e.MakerLeaves, 10))
	}
	if e.Reason != order.None {
		w.text("reason", e.Reason.String())
	}
	return w.end()
}

// Refused writes the report of a line that was refused before the venue; it has no sequence.
func (w *Writer) Refused(e *Entry) error {
	w.begin(0, order.Rejected.String())
	w.number("id", int64(e.Command.Order))
	w.text("symbol", e.Symbol)
	w.text("reason", e.Reason.String())
	return w.end()
}

// Book writes the best prices of a symbol.
func (w *Writer) Book(seq uint64, symbol string, bids, asks []book.Level) error {
	w.begin(seq, "book")
	w.text("symbol", symbol)
	w.levels("bids", bids)
	w.levels("asks", asks)
	return w.end()
}

func (w *Writer) begin(seq uint64, kind string) {
	w.line = append(w.line[:0], `{"seq":`...)
	w.line = strconv.AppendUint(w.line, seq, 10)
	w.text("kind", kind)
}

func (w *Writer) key(key string) {
	w.line = append(w.line, `,"`...)
	w.line = append(w.line, key...)
	w.line = append(w.line, `":`...)
}

func (w *Writer) number(key string, v int64) {
	w.key(key)
	w.line = strconv.AppendUint(w.line, uint64(v), 10)
}

func (w *Writer) text(key, v string) {
	w.key(key)
	w.line = batch.AppendJSONString(w.line, v)
}

func (w *Writer) levels(key string, levels []book.Level) {
	w.key(key)
	w.line = append(w.line, '[')
	for i, l := range levels {
		if i > 0 {
			w.line = append(w.line, ',')
		}
		w.line = append(w.line, `["`...)
		w.line = market.AppendFixed(w.line, int64(l.Price), priceDecimals)
		w.line = append(w.line, `","`...)
		w.line = strconv.AppendInt(w.line, l.Qty, 10)
		w.line = append(w.line, `"]`...)
	}
	w.line = append(w.line, ']')
}

func (w *Writer) end() error {
	w.line = append(w.line, "}\n"...)
	_, err := w.to.Write(w.line)
	return err
}

package sim

import (
	"bytes"
	"strconv"

	"golang.org/x/text/encoding/simplifiedchinese"
)

// records collects the rows of one page as JSON.
type records struct {
	buffer []byte
	ends   []int // of each row in buffer
	skip   int   // rows before the page
	limit  int
}

// begin starts a page that leaves out the first rows.
func (r *records) begin(skip, limit int) {
	r.buffer, r.ends, r.skip, r.limit = r.buffer[:0], r.ends[:0], skip, limit
}

// count returns how many rows the page has.
func (r *records) count() int { return len(r.ends) }

// add adds a row, unless it belongs to another page.
func (r *records) add(values ...string) {
	if r.skip > 0 {
		r.skip--
		return
	}
	if len(r.ends) >= r.limit {
		return
	}
	r.open()
	for i, v := range values {
		if i > 0 {
			r.buffer = append(r.buffer, ',')
		}
		r.buffer = appendJSON(r.buffer, v)
	}
	r.close()
}

// open and close put the brackets around a row whose values the caller appends to buffer.
func (r *records) open() { r.buffer = append(r.buffer, '[') }

func (r *records) close() {
	r.buffer = append(r.buffer, ']')
	r.ends = append(r.ends, len(r.buffer))
}

// addRaw adds a row of any text.
func (r *records) addRaw(text []byte) {
	r.buffer = append(r.buffer, text...)
	r.ends = append(r.ends, len(r.buffer))
}

// last leaves the last n rows.
func (r *records) last(n int) {
	var kept records
	for i := len(r.ends) - n; i < len(r.ends); i++ {
		kept.addRaw(r.row(i))
	}
	r.buffer, r.ends = kept.buffer, kept.ends
}

// appendJoined appends the rows with commas between them.
func (r *records) appendJoined(dst []byte) []byte {
	for i := range r.ends {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, r.row(i)...)
	}
	return dst
}

// row returns the text of row i.
func (r *records) row(i int) []byte {
	start := 0
	if i > 0 {
		start = r.ends[i-1]
	}
	return r.buffer[start:r.ends[i]]
}

// appendData appends the field DATA: nothing at all for no rows.
func (r *records) appendData(dst []byte) []byte {
	if len(r.ends) == 0 {
		return dst
	}
	return append(r.appendJoined(append(dst, `{"record":[`...)), `]}`...)
}

// alter does to the rows what the fault says; there are at least two.
func (r *records) alter(fault action) {
	n := len(r.ends)
	order := make([]int, 0, n+1)
	for i := range n {
		order = append(order, i)
	}
	switch middle := n / 2; fault {
	case faultDuplicate:
		order = append(order[:middle+1], order[middle:]...)
	case faultMissing:
		order = append(order[:middle], order[middle+1:]...)
	case faultUnsorted:
		order[middle-1], order[middle] = order[middle], order[middle-1]
	case faultShort:
		order = order[:n/2]
	}
	var altered records
	for _, i := range order {
		altered.addRaw(r.row(i))
	}
	r.buffer, r.ends = altered.buffer, altered.ends
}

// toGBK writes the rows in GBK; false when they have no text to which that makes a difference.
func (r *records) toGBK() bool {
	encoder := simplifiedchinese.GBK.NewEncoder()
	var changed records
	for i := range r.ends {
		text, err := encoder.Bytes(r.row(i))
		if err != nil {
			text = r.row(i) // a text that GBK cannot say stays as it is
		}
		changed.addRaw(text)
	}
	if bytes.Equal(changed.buffer, r.buffer) {
		return false
	}
	r.buffer, r.ends = changed.buffer, changed.ends
	return true
}

// appendJSON appends a JSON string as the vendor does: Chinese stays as it is.
func appendJSON(dst []byte, text string) []byte {
	dst = append(dst, '"')
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20:
			dst = append(dst, `\u00`...)
			if c < 0x10 {
				dst = append(dst, '0')
			}
			dst = strconv.AppendUint(dst, uint64(c), 16)
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

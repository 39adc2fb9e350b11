package dataset

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
)

// Header is the first line of the CSV form, without its newline.
const Header = "customer_id,symbol,name,region,status,price,qty,amount,updated_at,note"

// rowInterval is the distance between the updated_at of neighbouring rows.
const rowInterval = 250 * time.Millisecond

// Row is one generated record. Strings that repeat are constants; numbers are exact.
type Row struct {
	ID         int64  // 1, 2, 3, ...
	Code       uint64 // 0..4999, the digits of the symbol
	Exchange   string // suffix of the symbol
	Customer   uint64 // 100000..999999, the digits of the name
	Region     string
	Status     string  // "active" in 60 % of the rows
	PriceMills int64   // price in thousandths, 1000..1000999
	Quantity   int64   // 1..10000
	Amount     float64 // price * quantity, rounded when printed
	Updated    time.Time
	Note       uint64 // printed in base 36
}

// Active reports whether the benchmark's filter keeps the row.
func (r *Row) Active() bool { return r.Status == "active" }

// Generator yields rows in order. Copies continue independently.
type Generator struct {
	state uint64 // of splitmix64
	row   Row
}

// NewGenerator returns a generator that stands before the first row.
func NewGenerator() *Generator {
	const seed = 42
	start := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	return &Generator{state: seed, row: Row{Updated: start.Add(-rowInterval)}}
}

// Next advances to the next row and returns it; the row is valid until the next call.
func (g *Generator) Next() *Row {
	regions := [...]string{"north", "south", "east", "west", "apac", "emea", "latam"}
	statuses := [...]string{"active", "active", "active", "inactive", "suspended"}
	exchanges := [...]string{"SH", "SZ", "BJ", "HK"}

	r, first, second := &g.row, g.draw(), g.draw()
	r.ID++
	r.Code = first % 5000
	r.Exchange = exchanges[(first>>13)%uint64(len(exchanges))]
	r.Customer = (first>>17)%900_000 + 100_000
	r.Region = regions[(first>>37)%uint64(len(regions))]
	r.Status = statuses[(first>>41)%uint64(len(statuses))]
	r.PriceMills = int64(second%1_000_000) + 1000
	r.Quantity = int64((second>>21)%10_000) + 1
	// The price is summed in this order because the rounding of the amount depends on it.
	r.Amount = (float64(second%1_000_000)/1000 + 1) * float64(r.Quantity)
	r.Updated = r.Updated.Add(rowInterval)
	r.Note = (second >> 37) % 100_000
	return r
}

// draw returns the next number of the splitmix64 sequence.
func (g *Generator) draw() uint64 {
	g.state += 0x9E3779B97F4A7C15
	z := g.state
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// AppendCSV appends the row as one CSV line with its newline.
func (r *Row) AppendCSV(line []byte) []byte {
	line = strconv.AppendInt(line, r.ID, 10)
	line = append(line, ',')
	line = r.appendSymbol(line)
	line = append(line, ",cust-"...)
	line = strconv.AppendUint(line, r.Customer, 10)
	line = append(line, ',')
	line = append(line, r.Region...)
	line = append(line, ',')
	line = append(line, r.Status...)
	line = append(line, ',')
	line = r.appendPrice(line)
	line = append(line, ',')
	line = strconv.AppendInt(line, r.Quantity, 10)
	line = append(line, ',')
	line = strconv.AppendFloat(line, r.Amount, 'f', 2, 64)
	line = append(line, ',')
	line = r.appendUpdated(line)
	line = append(line, ",note "...)
	line = strconv.AppendUint(line, r.Note, 36)
	return append(line, '\n')
}

// AppendNDJSON appends the row as one JSON object with its newline.
func (r *Row) AppendNDJSON(line []byte) []byte {
	line = append(line, `{"customer_id":`...)
	line = strconv.AppendInt(line, r.ID, 10)
	line = append(line, `,"symbol":"`...)
	line = r.appendSymbol(line)
	line = append(line, `","name":"cust-`...)
	line = strconv.AppendUint(line, r.Customer, 10)
	line = append(line, `","region":"`...)
	line = append(line, r.Region...)
	line = append(line, `","status":"`...)
	line = append(line, r.Status...)
	line = append(line, `","price":`...)
	line = r.appendPrice(line)
	line = append(line, `,"qty":`...)
	line = strconv.AppendInt(line, r.Quantity, 10)
	line = append(line, `,"amount":`...)
	line = strconv.AppendFloat(line, r.Amount, 'f', 2, 64)
	line = append(line, `,"updated_at":"`...)
	line = r.appendUpdated(line)
	line = append(line, `","note":"note `...)
	line = strconv.AppendUint(line, r.Note, 36)
	return append(line, "\"}\n"...)
}

// appendSymbol appends six digits, a dot and the exchange.
func (r *Row) appendSymbol(line []byte) []byte {
	line = appendDigits(line, r.Code, 100_000)
	line = append(line, '.')
	return append(line, r.Exchange...)
}

// appendPrice appends the price with three decimals.
func (r *Row) appendPrice(line []byte) []byte {
	line = strconv.AppendInt(line, r.PriceMills/1000, 10)
	line = append(line, '.')
	return appendDigits(line, uint64(r.PriceMills%1000), 100)
}

// appendUpdated appends the time in UTC with milliseconds.
func (r *Row) appendUpdated(line []byte) []byte {
	return r.Updated.AppendFormat(line, "2006-01-02T15:04:05.000Z")
}

// appendDigits appends n zero-padded; unit is the value of its first digit.
func appendDigits(line []byte, n, unit uint64) []byte {
	for ; unit > 0; unit /= 10 {
		line = append(line, '0'+byte(n/unit%10))
	}
	return line
}

// WriteCSV writes the header and the first rows rows.
func WriteCSV(target io.Writer, rows int) error {
	if _, err := io.WriteString(target, Header+"\n"); err != nil {
		return fmt.Errorf("write csv header: %w", err)
	}
	return write(target, rows, (*Row).AppendCSV)
}

// WriteNDJSON writes the first rows rows.
func WriteNDJSON(target io.Writer, rows int) error {
	return write(target, rows, (*Row).AppendNDJSON)
}

// write writes the first rows rows in the form given.
func write(target io.Writer, rows int, form func(*Row, []byte) []byte) error {
	const bufferBytes = 1 << 20
	buffered := bufio.NewWriterSize(target, bufferBytes)
	generator := NewGenerator()
	var line []byte
	for n := range rows {
		line = form(generator.Next(), line[:0])
		if _, err := buffered.Write(line); err != nil {
			return fmt.Errorf("write row %d: %w", n+1, err)
		}
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	return nil
}

// Sums is what every correct result of a workload adds up to.
type Sums struct {
	Rows   int64 `json:"rows"`
	IDs    int64 `json:"ids"`    // sum of customer_id
	Values int64 `json:"values"` // sum of the value column, in thousandths
}

// Outcome holds the sums over the active rows among the first rows.
type Outcome struct {
	Amounts Sums // value: the printed amount, two decimals
	Totals  Sums // value: price * quantity, exact
}

// Expected computes what the filter status == 'active' keeps of the first rows rows.
func Expected(rows int) Outcome {
	var outcome Outcome
	generator := NewGenerator()
	for range rows {
		row := generator.Next()
		if !row.Active() {
			continue
		}
		outcome.Amounts.add(row.ID, printedAmount(row.Amount))
		outcome.Totals.add(row.ID, row.PriceMills*row.Quantity)
	}
	return outcome
}

func (s *Sums) add(id, mills int64) {
	s.Rows++
	s.IDs += id
	s.Values += mills
}

// printedAmount returns in thousandths what the text of an amount says: a product that ends in
// half a cent is rounded by its binary value, which only the printer knows.
func printedAmount(amount float64) int64 {
	var text [32]byte
	printed, err := strconv.ParseFloat(string(strconv.AppendFloat(text[:0], amount, 'f', 2, 64)), 64)
	if err != nil {
		return math.MinInt64 // unreachable: the printer writes what the parser reads
	}
	return int64(math.Round(printed * 1000))
}

package sim

// Market is what a provider knows: the whole truth, of which a server shows what its virtual now
// allows. Implementations are safe for concurrent use.
type Market interface {
	// Calendar returns every day of the market, open or closed.
	Calendar() *Calendar
	// Securities returns what is or was listed, sorted by code.
	Securities() []Security
	// Bars appends the daily bars of a code in [from, to], one per open day of its life.
	Bars(dst []Bar, code string, from, to Date) []Bar
	// Actions returns the ex-right days of a code, oldest first.
	Actions(code string) []Action
	// State says what the code did on a day.
	State(code string, day Date) State
}

// Security is one line of the listing.
type Security struct {
	Code string // in the vendor's form: sh.600000
	Name string
	IPO  Date
	Out  Date // 0: still listed
	Kind Kind
	// Renamed is the code that replaces this one on Until; the history moves to it. "": none.
	Renamed string
	Until   Date
	Since   Date // of a code that replaces another: its first day; else 0
	// Decimals of raw prices as the vendor writes them, 4 to 10; 0 stands for 10.
	Decimals int
}

// Kind is the vendor's kind of security.
type Kind uint8

// The vendor's numbers.
const (
	Stock Kind = 1
	Index Kind = 2
	Other Kind = 3
	ETF   Kind = 5
)

// State is what a security did on a day.
type State struct {
	Listed  bool
	Trading bool
	ST      bool // under special treatment
}

// Decimals of the numbers of a Bar, and of the prices the vendor serves.
const (
	priceDecimals  = 4
	ratioDecimals  = 6
	servedDecimals = 10
)

// shows reports whether a provider lists the code on today: it is listed by then, and has not been
// replaced, or does not yet replace another.
func (s *Security) shows(today Date) bool {
	return s.IPO <= today && s.Since <= today && (s.Renamed == "" || today < s.Until)
}

// decimals returns those of raw prices.
func (s *Security) decimals() int {
	if s.Decimals == 0 {
		return servedDecimals
	}
	return s.Decimals
}

// Bar is one day. Prices and Amount count 1e-4 yuan, ratios 1e-6.
type Bar struct {
	Date                             Date
	Open, High, Low, Close, Preclose int64
	Volume                           int64 // shares
	Amount                           int64
	Turn, Change                     int64 // percent
	PE, PS, PCF, PB                  int64
	Trading, ST                      bool
	Empty                            Column // columns served as the empty string
}

// Column is a set of the columns of a Bar.
type Column uint16

// The columns that may be empty.
const (
	ColumnVolume Column = 1 << iota
	ColumnAmount
	ColumnTurn
	ColumnChange
	ColumnPE
	ColumnPS
	ColumnPCF
	ColumnPB
)

// Action is one ex-right day.
type Action struct {
	Ex   Date
	Back int64 // cumulative backward factor from this day on, 1e-6; before the first one it is 1
	// Cash before tax, stock and transferred shares, per share held, 1e-6; all 0 when unknown.
	Cash, Bonus, Transfer int64
	// Split is new shares for old ones of an American split; zero: none.
	Split [2]int64
}

// Fore returns the forward factor of a day whose backward factor is back, when latest is that of the
// newest action known: back/latest, rounded half up to 6 decimals.
func Fore(back, latest int64) int64 { return (back*factorOne + latest/2) / latest }

// factorOne is the factor 1.
const factorOne = 1_000_000

// Back returns the backward factor of a day: that of the last action on or before it.
func Back(actions []Action, day Date) int64 {
	back := int64(factorOne)
	for _, a := range actions {
		if a.Ex > day {
			break
		}
		back = a.Back
	}
	return back
}

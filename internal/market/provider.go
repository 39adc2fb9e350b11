package market

import (
	"slices"
	"time"
)

// Shape is how a provider can be asked. A bit set: a provider may offer several.
type Shape uint8

// The shapes. The planner of a sync takes the one that needs the fewest requests.
const (
	// BySymbol answers one symbol over many dates: cheap for history.
	BySymbol Shape = 1 << iota
	// ByDate answers one date over many symbols: cheap for the daily increment.
	ByDate
	// Whole answers everything at once, such as a list of instruments.
	Whole
)

// Has reports whether all shapes of o are offered.
func (s Shape) Has(o Shape) bool { return s&o == o }

// Label says which instant of a bar its time stamp names.
type Label uint8

// The labels. Stored bars carry their start; the client of a provider converts.
const (
	LabelStart Label = iota // Binance, Yahoo, Kraken, Coinbase
	LabelEnd                // BaoStock, EastMoney, Tencent
)

// Provider describes a source of market data to those who plan what to ask of it. It does nothing by
// itself: the connector of the same name does the asking.
type Provider struct {
	Name   string // also the source of its rows
	Scheme Scheme // how it writes symbols
	Offers []Offer
	Budget Budget
}

// Offer is one dataset a provider serves.
type Offer struct {
	Dataset string
	Freqs   []string // for datasets with a frequency: 5m, 60m; nil otherwise
	Markets []MIC
	Classes []Class  // nil: all
	Symbols []Symbol // nil: all of these markets and classes
	Shapes  Shape

	// PageCap is how many rows one answer holds at most; 0 is without limit. An answer of exactly
	// this many rows is not known to be complete until the next page is empty.
	PageCap int
	// SymbolsPerRequest is how many symbols a ByDate request may name; 0 is the whole universe.
	SymbolsPerRequest int
	// Appends says that later rows change nothing of earlier ones, as backward factors do not; a new
	// event otherwise has all events of its instrument asked for again.
	Appends bool
	// WithBars says that these events come in the answers for daily bars of the same dates: both are asked
	// for together, and nobody has to see from prices whether there was an event.
	WithBars bool
	// Unknown are columns of which the provider knows nothing: its rows have NULL there, or what stands for not
	// known where a value is required. They replace no value that a store holds.
	Unknown []string
	// Survivors says that a list of instruments holds what is listed now only, without what was delisted.
	Survivors bool
	// HistoryStart is the first date served; 0 when it is each instrument's own.
	HistoryStart Date
	// PublishAt is when the rows of a day are final, as time after midnight of that day on the
	// exchange's clock; rows fetched earlier are marked as not final and fetched again.
	PublishAt time.Duration
	// Cost is the usual time of one request: what a plan multiplies to foretell its duration.
	Cost  time.Duration
	Label Label
	Units Units
}

// Units are the factors by which the provider's numbers become ours: shares, currency units.
type Units struct {
	Volume  int64 // shares per unit of volume: 1, or 100 for lots; 0 means 1
	Amount  int64 // currency per unit of amount: 1, 1,000, 10,000; 0 means 1
	Percent bool  // ratios such as turn come in percent (BaoStock) and are kept so
}

// Budget is what a provider bears before it bans. It is persisted across runs by the store.
type Budget struct {
	Connections       int     // at the same time, per address
	RequestsPerSecond float64 // 0: no limit known
	RequestsPerDay    int64   // 0: no limit known
	ResetZone         string  // IANA zone whose midnight starts a new day; "" is UTC
}

// Offer returns the provider's offer of a dataset.
func (p Provider) Offer(dataset string) (Offer, bool) {
	for _, o := range p.Offers {
		if o.Dataset == dataset {
			return o, true
		}
	}
	return Offer{}, false
}

// Unknown returns, by dataset, the columns of which the provider knows nothing.
func (p Provider) Unknown() map[string][]string {
	out := map[string][]string{}
	for _, o := range p.Offers {
		if len(o.Unknown) > 0 {
			out[o.Dataset] = o.Unknown
		}
	}
	return out
}

// Serves reports whether the offer holds instruments of the market and class.
func (o Offer) Serves(mic MIC, class Class) bool {
	return slices.Contains(o.Markets, mic) && (o.Classes == nil || slices.Contains(o.Classes, class))
}

// ServesOne reports whether the offer holds an instrument, whatever its dates.
func (o Offer) ServesOne(one Instrument) bool {
	return o.Serves(one.Symbol.MIC, one.Class) && (o.Symbols == nil || slices.Contains(o.Symbols, one.Symbol))
}

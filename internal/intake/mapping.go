package intake

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/flow/op"
	"github.com/tapeline/tapeline/internal/market"
)

// Mapping says how a file's records become rows of a dataset.
type Mapping struct {
	Columns    map[string]string   `yaml:"columns" doc:"column of the dataset: column of the file. What is not named is found by its usual names"`
	Compute    []op.ComputedColumn `yaml:"compute" doc:"columns made of the file's by expressions, before they are mapped"`
	Scheme     string              `yaml:"scheme" doc:"who writes symbols so: baostock, ptrade, tushare, ...; default any that names the exchange"`
	Class      string              `yaml:"class" doc:"class of the instruments, where symbols are digits alone: stock, index, etf, ..."`
	Symbol     string              `yaml:"symbol" enum:"column,file" doc:"where the symbol is; default the column where there is one, else the name of the file"`
	VolumeUnit int64               `yaml:"volume_unit" doc:"shares per unit of volume: 1, or 100 for lots. Default 1"`
	AmountUnit int64               `yaml:"amount_unit" doc:"currency per unit of amount: 1, 1000, 10000. Default 1"`
	Turn       string              `yaml:"turn" enum:"percent,fraction" doc:"how the turnover rate is written. Default percent"`
	Round      bool                `yaml:"round" doc:"round numbers to the dataset's digits, half away from zero, instead of refusing them"`
	Encoding   string              `yaml:"encoding" doc:"of CSV files: utf-8, gbk, ... Default utf-8"`
	Delimiter  string              `yaml:"delimiter" doc:"of CSV files; default guessed"`
}

// usualNames are the names that vendors give to columns of the datasets, lower case.
var usualNames = map[string][]string{
	"symbol":       {"code", "ts_code", "ticker", "security", "secucode", "股票代码", "证券代码", "代码"},
	"date":         {"trade_date", "day", "datetime", "日期", "交易日期", "时间"},
	"open":         {"开盘", "开盘价"},
	"high":         {"最高", "最高价"},
	"low":          {"最低", "最低价"},
	"close":        {"收盘", "收盘价"},
	"preclose":     {"pre_close", "prev_close", "昨收", "前收", "前收盘", "前收盘价"},
	"volume":       {"vol", "成交量"},
	"amount":       {"money", "turnover", "成交额", "成交金额"},
	"turn":         {"turnover_rate", "换手率"},
	"trade_status": {"tradestatus"},
	"is_st":        {"isst"},
	"pe_ttm":       {"pettm"},
	"pb_mrq":       {"pbmrq", "pb"},
	"ps_ttm":       {"psttm"},
	"pcf_ncf_ttm":  {"pcfncfttm", "pcf"},
	"ex_date":      {"dividoperatedate", "除权除息日"},
	"fore_factor":  {"foreadjustfactor"},
	"back_factor":  {"backadjustfactor"},
	// not adjust_factor: vendors mean different things by it
}

// Check returns all that is impossible in a mapping for a dataset.
func (m *Mapping) Check(d market.Dataset) (problems []error) {
	for _, name := range sortedKeys(m.Columns) {
		if d.Schema.Index(name) >= 0 {
			continue
		}
		near := "it has " + strings.Join(d.Schema.Names(), ", ")
		if close := fault.Nearest(name, d.Schema.Names()); close != "" {
			near = "did you mean " + close + "?"
		}
		problems = append(problems, fmt.Errorf("map: dataset %s has no column %q (%s)", d.Name, name, near))
	}
	units := func(key string, unit int64, allowed ...int64) {
		if unit != 0 && !slices.Contains(allowed, unit) {
			problems = append(problems, fmt.Errorf("%s: %d is none of %v", key, unit, allowed))
		}
	}
	units("volume unit", m.VolumeUnit, 1, 100)
	units("amount unit", m.AmountUnit, 1, 1000, 10000)
	oneOf := func(key, value string, allowed ...string) {
		if value != "" && !slices.Contains(allowed, value) {
			problems = append(problems, fmt.Errorf("%s: %q is none of %s", key, value, strings.Join(allowed, ", ")))
		}
	}
	oneOf("symbol", m.Symbol, "column", "file")
	oneOf("turn", m.Turn, "percent", "fraction")
	if m.Scheme != "" {
		if _, err := market.SchemeByName(m.Scheme); err != nil {
			problems = append(problems, err)
		}
	}
	if m.Class != "" {
		if _, err := market.ParseClass(m.Class); err != nil {
			problems = append(problems, err)
		}
	}
	return problems
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// binding is a mapping bound to the columns of a file.
type binding struct {
	at      []int // for each column of the dataset the file's, -1: none
	ignored []string
}

// bind finds the dataset's columns among a file's.
func (m *Mapping) bind(d market.Dataset, s *batch.Schema, file string) (*binding, error) {
	b := &binding{at: make([]int, d.Schema.Len())}
	used := map[int]bool{}
	var missing []string
	for i, f := range d.Schema.Fields() {
		b.at[i] = -1
		if want, given := m.Columns[f.Name]; given {
			if b.at[i] = s.Index(want); b.at[i] < 0 {
				hint := "it has " + strings.Join(s.Names(), ", ")
				if near := fault.Nearest(want, s.Names()); near != "" {
					hint = "did you mean " + near + "?"
				}
				return nil, fmt.Errorf("%s: column %q, mapped to %s, is not in the file (%s)", file, want, f.Name, hint)
			}
		} else if f.Name != "symbol" || m.Symbol != "file" {
			b.at[i] = usual(s, f.Name)
		}
		switch {
		case b.at[i] >= 0:
			used[b.at[i]] = true
		case f.Nullable, f.Name == "symbol" && m.Symbol != "column", f.Name == "trade_status", f.Name == "final":
		default:
			missing = append(missing, f.Name)
		}
	}
	for _, name := range s.Names() {
		if !utf8.ValidString(name) {
			return nil, fmt.Errorf("%s: its column names are no UTF-8 text: say how it is written, as --encoding gbk", file)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("%s: no column for %s of dataset %s among %s: name it, as --map %s=COLUMN", file,
			strings.Join(missing, ", "), d.Name, strings.Join(s.Names(), ", "), missing[0])
	}
	for i, f := range s.Fields() {
		if !used[i] {
			b.ignored = append(b.ignored, f.Name)
		}
	}
	return b, nil
}

// usual finds a column by the dataset's name for it or by a vendor's, whatever the case.
func usual(s *batch.Schema, name string) int {
	for _, known := range append([]string{name}, usualNames[name]...) {
		for i, f := range s.Fields() {
			if strings.EqualFold(strings.TrimSpace(f.Name), known) {
				return i
			}
		}
	}
	return -1
}

// symbols reads the symbols of a vendor, each text once.
type symbols struct {
	scheme market.Scheme
	any    bool // every scheme is tried
	class  market.Class
	known  map[string]readSymbol
}

type readSymbol struct {
	text string
	err  error
}

func newSymbols(m *Mapping) *symbols {
	s := &symbols{any: m.Scheme == "", known: map[string]readSymbol{}}
	s.scheme, _ = market.SchemeByName(m.Scheme) // Check has looked
	if m.Class != "" {
		s.class, _ = market.ParseClass(m.Class)
	}
	return s
}

func (s *symbols) read(text []byte) (string, error) {
	if known, ok := s.known[string(text)]; ok {
		return known.text, known.err
	}
	name := string(text)
	symbol, err := s.parse(strings.TrimSpace(name))
	known := readSymbol{err: err}
	if err == nil {
		known.text = symbol.String()
	}
	s.known[name] = known
	return known.text, known.err
}

func (s *symbols) parse(text string) (market.Symbol, error) {
	if !s.any {
		return s.scheme.Parse(text, s.class)
	}
	first := error(nil)
	for _, scheme := range market.Schemes() {
		symbol, err := scheme.Parse(text, s.class)
		if err == nil && (s.class != market.Unknown || tellsExchange(text, symbol)) {
			return symbol, nil
		}
		if first == nil && err != nil {
			first = err
		}
	}
	return market.Symbol{}, fmt.Errorf("%w; or say who writes so, with --scheme", first)
}

// tellsExchange reports whether a text names an exchange: any word could be a ticker.
func tellsExchange(text string, symbol market.Symbol) bool {
	switch symbol.MIC {
	case market.USA, market.Binance, market.Coinbase, market.Kraken:
		return false
	}
	return strings.Trim(text, "0123456789") != ""
}

// ofFile reads the symbol that a file is named after, as sh.600000.csv.gz.
func (s *symbols) ofFile(path string) (string, error) {
	stem := filepath.Base(path)
	for _, suffix := range []string{".gz", ".zst", ".csv", ".tsv", ".txt", ".parquet", ".parq"} {
		if cut := len(stem) - len(suffix); cut > 0 && strings.EqualFold(stem[cut:], suffix) {
			stem = stem[:cut]
		}
	}
	text, err := s.read([]byte(stem))
	if err != nil {
		return "", fmt.Errorf("%s: no column holds the symbol, and the file's name is none: %w (name the column with "+
			"--map symbol=COLUMN)", path, err)
	}
	return text, nil
}

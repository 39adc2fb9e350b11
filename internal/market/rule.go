package market

import (
	"fmt"
	"slices"

	"github.com/tapeline/tapeline/batch"
)

// Scope says what a rule needs to see.
type Scope uint8

// The scopes.
const (
	// RowLocal rules need one row. Check applies them before a write; a row that breaks one is
	// quarantined and never stored.
	RowLocal Scope = iota
	// CrossRow rules need neighbours or facts from elsewhere. A Verifier applies them to what is
	// stored; a finding is a question to the provider, and no row is removed for it.
	CrossRow
)

// Rule is one rule of quality.
type Rule struct {
	Name     string
	Scope    Scope
	Datasets []string // nil: all
	Doc      string
}

// Names of the rules, as RuleError and quarantine rows carry them.
const (
	RuleSchema        = "schema"
	RuleSymbol        = "symbol"
	RuleRequired      = "required"
	RulePrecision     = "precision"
	RulePrice         = "price_positive"
	RuleOrder         = "ohlc_order"
	RuleNegative      = "negative"
	RuleSuspended     = "suspended_flat"
	RulePctChange     = "pct_change"
	RuleDateOrder     = "date_order"
	RuleDuplicate     = "duplicate_key"
	RuleUnsorted      = "unsorted"
	RuleSession       = "not_a_session"
	RuleLife          = "outside_life"
	RulePreclose      = "preclose_chain"
	RuleFactorProduct = "factor_product"
	RuleLimitBand     = "limit_band"
)

var (
	ofBars  = []string{Bar1D, BarMin, Crypto1D, CryptoMin}
	ofDaily = []string{Bar1D}
	ofDates = []string{Bar1D, Crypto1D, Valuation1D}
)

// rules is never altered.
var rules = []Rule{
	{RuleSchema, RowLocal, nil, "the batch has the dataset's columns with their types; if not, no row is taken"},
	{RuleSymbol, RowLocal, nil, "symbol is canonical: code and market"},
	{RuleRequired, RowLocal, nil, "a column that must have a value is not NULL"},
	{RulePrecision, RowLocal, nil, "a decimal has no more digits than its type"},
	{RulePrice, RowLocal, ofBars, "open, high, low, close and, unless NULL, preclose are above 0"},
	{RuleOrder, RowLocal, ofBars, "low <= open, close <= high"},
	{
		RuleNegative, RowLocal,
		[]string{Bar1D, BarMin, Crypto1D, CryptoMin, AdjFactor, CorpAction},
		"volume, amount and turn are NULL or not negative; so are a corporate action's numbers; factors are above 0",
	},
	{RuleSuspended, RowLocal, ofDaily, "a suspended day is flat, its volume and amount 0 or NULL"},
	{RulePctChange, RowLocal, ofDaily, "a column pct_chg, where the provider's rows still have it, is close / preclose - 1 in percent, to 0.01"},
	{RuleDateOrder, RowLocal, []string{Listing, Constituent}, "a life or membership does not end before it begins"},
	{RuleDuplicate, CrossRow, nil, "no two rows have one key"},
	{RuleUnsorted, CrossRow, ofDates, "the rows of a symbol come by date"},
	{RuleSession, CrossRow, ofDates, "the date is a session of the market"},
	{RuleLife, CrossRow, ofDates, "the date lies in the instrument's listing"},
	{RulePreclose, CrossRow, ofDaily, "preclose is the close of the session before, but on an ex-date"},
	{RuleFactorProduct, CrossRow, ofDaily, "on an ex-date, back factor / the one before is close before / preclose, to 0.0001"},
	{RuleLimitBand, CrossRow, ofDaily, "a Chinese share stays within its daily price limit"},
}

// Rules returns all rules.
func Rules() []Rule { return slices.Clone(rules) }

// RuleError is a row that breaks a rule.
type RuleError struct {
	Row     int // physical row of the batch
	Rule    string
	Message string // for people: what was found and what was wanted
}

// Error returns "row R breaks RULE: message".
func (e RuleError) Error() string {
	return fmt.Sprintf("row %d breaks %s: %s", e.Row, e.Rule, e.Message)
}

// Check applies the row-local rules of a dataset to a dense batch, as sinks receive it, and returns
// what it finds by row. Columns may stand in any order and there may be more. It looks at selected
// rows only and allocates nothing unless it finds something.
func Check(dataset string, b *batch.Batch) []RuleError {
	c, ok := newChecker(dataset, b)
	if !ok {
		return c.found
	}
	if d, _ := DatasetByName(dataset); d.Schema.Index("symbol") >= 0 {
		c.symbols("symbol")
	}
	c.required(dataset)
	c.precision()
	switch dataset {
	case Bar1D:
		c.prices()
		c.notNegative("volume", "amount", "turn")
		c.suspended()
		c.pctChange()
	case BarMin:
		c.prices()
		c.notNegative("volume", "amount")
	case Crypto1D, CryptoMin:
		c.prices()
		c.notNegative("volume", "amount", "trades")
	case AdjFactor:
		c.positive("back_factor", "fore_factor", "adjust_factor")
	case CorpAction:
		c.notNegative("cash", "stock_dividend", "transfer", "rights_ratio", "rights_price", "split_ratio")
	case Constituent:
		c.symbols("index_symbol")
		c.dateOrder("valid_from", "valid_to")
	case Listing:
		c.dateOrder("ipo_date", "out_date")
	}
	slices.SortStableFunc(c.found, func(a, b RuleError) int { return a.Row - b.Row })
	return c.found
}

// RowErrors returns findings as the errors that batch.Batch.Without takes, one a row.
func RowErrors(found []RuleError) []batch.RowError {
	errs := make([]batch.RowError, len(found))
	for i, e := range found {
		errs[i] = batch.RowError{Row: e.Row, Reason: e.Rule + ": " + e.Message}
	}
	return batch.OncePerRow(errs)
}

package baostock

import "fmt"

// Query names one kind of request.
type Query uint8

// The queries, in the order of their type numbers on the wire.
const (
	DividendData Query = iota
	AdjustFactors
	ProfitData
	OperationData
	GrowthData
	DupontData
	BalanceData
	CashFlowData
	PerformanceExpressReport
	ForecastReport
	TradeDates
	AllStock
	StockBasic
	DepositRate
	LoanRate
	RequiredReserveRatio
	MoneySupplyMonth
	MoneySupplyYear
	StockIndustry
	HS300Stocks
	SZ50Stocks
	ZZ500Stocks
	TerminatedStocks
	SuspendedStocks
	STStocks
	StarSTStocks
	KData
	queries
)

// kind is how a query looks on the wire.
type kind struct {
	method string
	typ    int      // of the request; the answer has typ+1
	args   []string // names of the arguments behind METHOD, user, page and rows per page
}

// kinds is indexed by Query and never altered.
var kinds = [queries]kind{
	DividendData:             {"query_dividend_data", 13, []string{"code", "year", "yearType"}},
	AdjustFactors:            {"query_adjust_factor", 15, []string{"code", "start_date", "end_date"}},
	ProfitData:               {"query_profit_data", 17, quarterly},
	OperationData:            {"query_operation_data", 19, quarterly},
	GrowthData:               {"query_growth_data", 21, quarterly},
	DupontData:               {"query_dupont_data", 23, quarterly},
	BalanceData:              {"query_balance_data", 25, quarterly},
	CashFlowData:             {"query_cash_flow_data", 27, quarterly},
	PerformanceExpressReport: {"query_performance_express_report", 29, []string{"code", "start_date", "end_date"}},
	ForecastReport:           {"query_forecast_report", 31, []string{"code", "start_date", "end_date"}},
	TradeDates:               {"query_trade_dates", 33, period},
	AllStock:                 {"query_all_stock", 35, []string{"day"}},
	StockBasic:               {"query_stock_basic", 45, []string{"code", "code_name"}},
	DepositRate:              {"query_deposit_rate_data", 47, period},
	LoanRate:                 {"query_loan_rate_data", 49, period},
	RequiredReserveRatio:     {"query_required_reserve_ratio_data", 51, []string{"start_date", "end_date", "yearType"}},
	MoneySupplyMonth:         {"query_money_supply_data_month", 53, period},
	MoneySupplyYear:          {"query_money_supply_data_year", 55, period},
	StockIndustry:            {"query_stock_industry", 59, []string{"code", "date"}},
	HS300Stocks:              {"query_hs300_stocks", 61, onDate},
	SZ50Stocks:               {"query_sz50_stocks", 63, onDate},
	ZZ500Stocks:              {"query_zz500_stocks", 65, onDate},
	TerminatedStocks:         {"query_terminated_stocks", 67, onDate},
	SuspendedStocks:          {"query_suspended_stocks", 69, onDate},
	STStocks:                 {"query_st_stocks", 71, onDate},
	StarSTStocks:             {"query_starst_stocks", 73, onDate},
	KData: {
		"query_history_k_data_plus", 95,
		[]string{"code", "fields", "start_date", "end_date", "frequency", "adjustflag"},
	},
}

var (
	quarterly = []string{"code", "year", "quarter"}
	period    = []string{"start_date", "end_date"}
	onDate    = []string{"date"}
)

// String returns the method as it stands in requests.
func (q Query) String() string {
	if q < queries {
		return kinds[q].method
	}
	return fmt.Sprintf("query(%d)", uint8(q))
}

// Queries returns all queries.
func Queries() []Query {
	list := make([]Query, queries)
	for i := range list {
		list[i] = Query(i)
	}
	return list
}

// Arguments returns the names of the query's arguments, in the order of the wire.
func (q Query) Arguments() []string { return kinds[q].args }

// answers reports whether a frame of type typ answers the query.
func (q Query) answers(typ int) bool {
	// The service answers the monthly money supply with the type of the yearly one.
	return typ == kinds[q].typ+1 || q == MoneySupplyMonth && typ == kinds[MoneySupplyYear].typ+1
}

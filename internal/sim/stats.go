package sim

// Stats counts what a server was asked and what it answered.
type Stats struct {
	Connections int64            `json:"connections"`
	Logins      int64            `json:"logins"` // that succeeded
	Requests    int64            `json:"requests"`
	KData       int64            `json:"kdata_requests"`
	ByType      map[string]int64 `json:"requests_by_type"`
	Errors      map[string]int64 `json:"errors_by_code"`
	Faults      map[string]int64 `json:"faults"`
	Rows        int64            `json:"rows"`
	KDataRows   int64            `json:"kdata_rows"`
	BytesIn     int64            `json:"bytes_in"`
	BytesOut    int64            `json:"bytes_out"`
	Banned      int64            `json:"banned_addresses"`
}

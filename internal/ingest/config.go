package ingest

import (
	"github.com/tapeline/tapeline/internal/flow/spec"
	"github.com/tapeline/tapeline/internal/market"
)

// Config is what tapeline.yaml says about keeping a store: the file itself, config/sync.yaml of the
// requirements, or both.
type Config struct {
	Sync        SyncConfig        `yaml:"sync" doc:"what is fetched, and how"`
	Performance PerformanceConfig `yaml:"performance" doc:"the modules around it"`
	// Given are the settings of tunable that somebody set: tuning leaves them alone.
	Given map[string]bool `yaml:"-"`
}

// SyncConfig says what is fetched from whom into which store.
type SyncConfig struct {
	Provider string   `yaml:"provider" doc:"who is asked"`
	Endpoint string   `yaml:"endpoint" doc:"host:port of the provider, or URL where it is asked over HTTP" fallback:"the provider's own"`
	Store    string   `yaml:"store" doc:"folder of the market store"`
	Universe string   `yaml:"universe" doc:"all, the name of an index (its members), or a file with one symbol a line; symbols goes before it" example:"hs300"`
	Symbols  []string `yaml:"symbols" doc:"instruments, in the provider's spelling or ours" example:"[sh.600000, 000001.XSHE]"`
	From     string   `yaml:"from" doc:"first day"`
	To       string   `yaml:"to" doc:"last day" fallback:"the last day whose rows are final"`
	Freq     string   `yaml:"freq" enum:"1d" doc:"length of a bar"`
	Datasets []string `yaml:"datasets" doc:"what is kept, where the default names bars and factors, or crypto_1d, as far as the provider has them; calendar and instrument are always fetched, as plans need them"`

	BatchSize           int      `yaml:"batch_size" min:"1" max:"10000" doc:"symbols of one work unit: all datasets of these are fetched before the next ones begin"`
	MaxWorkers          int      `yaml:"max_workers" min:"1" max:"256" doc:"workers that decode answers; never more sessions with the provider"`
	EnableParallel      bool     `yaml:"enable_parallel" doc:"false decodes with one worker"`
	EnableSmartBackfill bool     `yaml:"enable_smart_backfill" doc:"fetch valuations and fundamentals again where columns of them are NULL and the bars are complete, once; gaps are always filled"`
	AutoTune            bool     `yaml:"auto_tune" doc:"settings that are left at their defaults become those that tapeline tune recommends"`
	MemoryLimitGB       float64  `yaml:"memory_limit_gb" min:"0.1" max:"1024" doc:"memory above which garbage is collected at once, then the caches are emptied, batches become smaller and fewer workers decode, until there is room again; a quarter of it bounds the rows in flight"`
	JoinSessions        int      `yaml:"join_sessions" min:"0" max:"1000" doc:"sessions that are there already and may be fetched again, so that one request fills the gaps before and after them"`
	Route               Route    `yaml:"route" enum:"fewest,symbol,date" doc:"shape in which a provider is asked that can be asked by symbol and by date: whatever takes the fewest requests, or always one"`
	RequestsPerSecond   *float64 `yaml:"requests_per_second" min:"0" doc:"most requests in any second; 0 is no limit" fallback:"the provider's: 4 for baostock, 3 for tushare; no limit for an endpoint on this machine"`
	RequestsPerDay      *int64   `yaml:"requests_per_day" min:"0" doc:"most requests in a day of the provider, counted by the store over all runs; 0 is no limit" fallback:"the provider's: 40000 for baostock; no limit for an endpoint on this machine"`
	CommitInterval      int      `yaml:"commit_interval_ms" min:"50" max:"60000" doc:"milliseconds between commits"`
}

// PerformanceConfig are the settings of the modules.
type PerformanceConfig struct {
	ConnectionManager ConnectionConfig  `yaml:"connection_manager" doc:"the session with the provider"`
	BatchWriter       BatchWriterConfig `yaml:"batch_writer" doc:"how rows are handed to the store"`
	Cache             CacheConfig       `yaml:"cache" doc:"what is remembered of the store, within a process; a commit ends what it changes"`
	Monitor           MonitorConfig     `yaml:"monitor" doc:"what the report says of speed"`
}

// ConnectionConfig are the settings of the session with the provider, in seconds.
type ConnectionConfig struct {
	Enable            bool `yaml:"enable" doc:"false opens a session for each request"`
	SessionTimeout    int  `yaml:"session_timeout" min:"1" max:"86400" doc:"seconds without a request after which the session is opened anew"`
	HeartbeatInterval int  `yaml:"heartbeat_interval" min:"1" max:"86400" doc:"seconds between heartbeats; counts with heartbeat only"`
	Heartbeat         bool `yaml:"heartbeat" doc:"ask something small to keep the session; each heartbeat is a request of the budget"`
	LockTimeout       int  `yaml:"lock_timeout" min:"1" max:"3600" doc:"seconds to wait for the session before a warning names its holder"`
	EnableKeepalive   bool `yaml:"enable_keepalive" doc:"keep the session between requests"`
}

// BatchWriterConfig are the settings of writing.
type BatchWriterConfig struct {
	Enable          bool   `yaml:"enable" doc:"false hands each row to the store alone"`
	BatchSize       int    `yaml:"batch_size" min:"1" max:"1000000" doc:"rows handed to the store at once, which groups them into commits; one that it refuses is handed over in smaller ones, then row by row"`
	AutoFlush       bool   `yaml:"auto_flush" doc:"false keeps the rows of a request until all of them are there, so that commits hold whole ones only"`
	TransactionMode string `yaml:"transaction_mode" enum:"deferred,immediate,exclusive" doc:"how transactions of the store's catalog begin; what is committed is the same"`
}

// CacheConfig says what is remembered, and for how long.
type CacheConfig struct {
	Enable             bool `yaml:"enable" doc:"false remembers nothing, and fetches the list of instruments in every sync"`
	MaxSizeMB          int  `yaml:"max_size_mb" min:"1" max:"1048576" doc:"megabytes that all entries may take; the least recently used go first"`
	TradingCalendarTTL int  `yaml:"trading_calendar_ttl" min:"0" doc:"seconds for which a calendar is remembered; days that the stored one does not hold are fetched in any case"`
	StockMetadataTTL   int  `yaml:"stock_metadata_ttl" min:"0" doc:"seconds for which instruments are remembered, and after which their list is fetched anew, in whole days; a sync that reaches further than any before fetches it too"`
	LastDataDateTTL    int  `yaml:"last_data_date_ttl" min:"0" doc:"seconds for which it is remembered on which days an instrument has rows"`
}

// MonitorConfig are the settings of the performance part of the report.
type MonitorConfig struct {
	Enable              bool    `yaml:"enable" doc:"measure phases, memory and CPU; a fault of it never changes the sync"`
	DetailedLogging     bool    `yaml:"detailed_logging" doc:"log the end of each phase (shown with --verbose)"`
	ReportFormat        string  `yaml:"report_format" enum:"text,json" doc:"form of the file that --performance names"`
	BottleneckThreshold float64 `yaml:"bottleneck_threshold" min:"0" max:"1" doc:"share of the time above which a phase is named as the bottleneck"`
}

// Defaults returns the settings that hold where nobody says otherwise.
func Defaults() Config {
	return Config{
		Sync: SyncConfig{
			Provider: "baostock", Universe: "all", From: "2015-01-01", Freq: "1d",
			Datasets:  []string{market.Bar1D, market.AdjFactor, market.CalendarDay, market.Listing},
			BatchSize: 50, MaxWorkers: 3, EnableParallel: true, AutoTune: true, MemoryLimitGB: 1.5,
			JoinSessions: 3, Route: RouteFewest, CommitInterval: 500,
		},
		Performance: PerformanceConfig{
			ConnectionManager: ConnectionConfig{
				Enable: true, SessionTimeout: 600, HeartbeatInterval: 60, LockTimeout: 10, EnableKeepalive: true,
			},
			BatchWriter: BatchWriterConfig{
				Enable: true, BatchSize: 100, AutoFlush: true, TransactionMode: "immediate",
			},
			Cache: CacheConfig{
				Enable: true, MaxSizeMB: 500, TradingCalendarTTL: 7 * 24 * 3600, StockMetadataTTL: 24 * 3600,
				LastDataDateTTL: 60,
			},
			Monitor: MonitorConfig{
				Enable: true, DetailedLogging: true, ReportFormat: "json", BottleneckThreshold: 0.5,
			},
		},
	}
}

// environmentPrefix begins the names of variables: TAPELINE_SYNC_BATCH_SIZE.
const environmentPrefix = "TAPELINE"

// Load reads the settings of the files, later ones over earlier ones, and the environment over them.
func Load(files []string, options spec.Options) (Config, []spec.Problem) {
	c := Defaults()
	problems := spec.Config(files, environmentPrefix, &c, options)
	const unset = -1 // no setting of tunable may be below 0
	var probe Config
	for _, setting := range tunable(&probe) {
		*setting = unset
	}
	spec.Config(files, environmentPrefix, &probe, options) // its problems are those above
	c.Given = map[string]bool{}
	for key, setting := range tunable(&probe) {
		if *setting != unset {
			c.Given[key] = true
		}
	}
	return c, problems
}

// Workers returns how many workers decode.
func (c SyncConfig) Workers() int {
	if !c.EnableParallel {
		return 1
	}
	return c.MaxWorkers
}

// Reference returns the page of the settings, made from the struct that reads them.
func Reference() string {
	return "# Settings of a sync\n\n" +
		"`tapeline sync` takes them from flags, then from environment variables (`TAPELINE_SYNC_BATCH_SIZE` is\n" +
		"`sync.batch_size`), then from the files of `--config`, or `tapeline.yaml` where it is there. An unknown\n" +
		"key is an error with file, line and the nearest key. [How a sync works](ingest.md).\n\n" +
		spec.Table(Defaults())
}

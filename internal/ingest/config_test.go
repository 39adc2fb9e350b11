package ingest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/internal/flow/spec"
)

// required is config.yaml of requirements 1, word for word, with each value another than the default.
const required = `
performance:
  connection_manager:
    enable: false
    session_timeout: 601
    heartbeat_interval: 61
    lock_timeout: 11
    enable_keepalive: false
  batch_writer:
    enable: false
    batch_size: 101
    auto_flush: false
    transaction_mode: deferred
  cache:
    enable: false
    max_size_mb: 501
    trading_calendar_ttl: 604801  # 7 days
    stock_metadata_ttl: 86401
    last_data_date_ttl: 61
  monitor:
    enable: false
    detailed_logging: false
    report_format: text
    bottleneck_threshold: 0.6
sync:
  batch_size: 51
  max_workers: 4
  enable_parallel: false
  enable_smart_backfill: true
  auto_tune: false
  memory_limit_gb: 1.6
`

func settingsFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "sync.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func noVariables(string) (string, bool) { return "", false }

func TestRequiredSettings(t *testing.T) {
	got, problems := Load([]string{settingsFile(t, required)}, spec.Options{Lookup: noVariables})
	if spec.Failed(problems) {
		t.Fatal(problems)
	}
	want := Defaults()
	want.Performance = PerformanceConfig{
		ConnectionManager: ConnectionConfig{SessionTimeout: 601, HeartbeatInterval: 61, LockTimeout: 11},
		BatchWriter:       BatchWriterConfig{BatchSize: 101, TransactionMode: "deferred"},
		Cache:             CacheConfig{MaxSizeMB: 501, TradingCalendarTTL: 604801, StockMetadataTTL: 86401, LastDataDateTTL: 61},
		Monitor:           MonitorConfig{ReportFormat: "text", BottleneckThreshold: 0.6},
	}
	want.Sync.BatchSize, want.Sync.MaxWorkers, want.Sync.MemoryLimitGB = 51, 4, 1.6
	want.Sync.EnableParallel, want.Sync.EnableSmartBackfill, want.Sync.AutoTune = false, true, false
	want.Given = map[string]bool{}
	for key := range tunable(&want) {
		want.Given[key] = true
	}
	if diff := cmp.Diff(want, got); diff != "" || len(problems) > 0 {
		t.Errorf("%v; settings (-want +got):\n%s", problems, diff)
	}
	if got.Sync.Workers() != 1 || want.Sync.MaxWorkers != 4 {
		t.Errorf("enable_parallel false gives %d workers, want 1", got.Sync.Workers())
	}
}

func TestDefaultsSayNothing(t *testing.T) {
	got, problems := Load(nil, spec.Options{Lookup: noVariables})
	want := Defaults()
	want.Given = map[string]bool{}
	if len(problems) > 0 || !cmp.Equal(got, want) {
		t.Errorf("got %v and %+v, want the defaults without a word", problems, got)
	}
	if c := got.Sync; c.BatchSize != 50 || c.MaxWorkers != 3 || c.EnableSmartBackfill || c.MemoryLimitGB != 1.5 ||
		c.Workers() != 3 {
		t.Errorf("defaults are %+v; want batch_size 50, max_workers 3, no smart backfill, 1.5 GB", c)
	}
}

func TestUnknownSetting(t *testing.T) {
	name := settingsFile(t, "sync:\n  max_wrokers: 3\n")
	_, problems := Load([]string{name}, spec.Options{Lookup: noVariables})
	if len(problems) != 1 || !strings.Contains(problems[0].String(), name+":2:3: error: sync.max_wrokers: unknown key") ||
		problems[0].Hint != "did you mean max_workers?" {
		t.Errorf("got %v; want the place and the nearest key", problems)
	}
}

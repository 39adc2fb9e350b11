package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/tapeline/tapeline/internal/sim"
)

func (s *session) simCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "sim",
		Short: "Serve a simulated data provider on this machine",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(s.simBaoStockCommand())
	for _, v := range webVendors() {
		c.AddCommand(s.simWebCommand(v))
	}
	return c
}

// simFlags are the flags of sim baostock.
type simFlags struct {
	simMarket

	listen                 string
	now                    string
	users, faults          []string
	faultFile              string
	restate                bool
	stats, oracle, factors string
	requests               string
	config                 sim.Config
}

func (s *session) simBaoStockCommand() *cobra.Command {
	f := &simFlags{simMarket: simMarket{vendor: "baostock"}}
	c := &cobra.Command{
		Use:   "baostock (--data DIR [--calendar FILE] [--basics FILE] | --seed N --symbols K --from DATE --to DATE)",
		Short: "Serve the protocol of BaoStock: a folder of real bars, or a market made from a seed",
		Long: "Speaks the protocol of BaoStock to the byte, so that a pipeline can be tested without the network,\n" +
			"against limits and faults of choice. The first line printed is the address. SIGTERM or Ctrl-C ends\n" +
			"it and prints what was asked; SIGHUP switches a market started with --restate to the truth.\n" +
			"docs/sim-baostock.md describes the market, the formats and the fault script.",
		Example: "  tapeline sim baostock --listen 127.0.0.1:10030 --data bars/\n" +
			"  tapeline sim baostock --listen 127.0.0.1:0 --seed 1 --symbols 500 --from 2019-01-01 --to 2023-12-31 \\\n" +
			"    --rtt 120ms --fault 'every 100 on 95: reset' --oracle truth.csv --stats stats.json",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := idleMarketFlags(c, f.data); err != nil {
				return err
			}
			return s.simBaoStock(c.Context(), f)
		},
	}
	f.register(c)
	return c
}

// idleMarketFlags refuses flags of the market that is not served.
func idleMarketFlags(c *cobra.Command, data string) error {
	if data != "" {
		if name := changed(c, "symbols", "from", "to"); name != "" {
			return usage("%s: --data and --%s exclude each other: the folder is served whole", c.CommandPath(), name)
		}
	} else if name := changed(c, "calendar", "basics"); name != "" {
		return usage("%s: --%s is for --data", c.CommandPath(), name)
	}
	return nil
}

func (f *simFlags) register(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.listen, "listen", "127.0.0.1:10030", "address to listen on; port 0 is any free one")
	f.registerFolder(c)
	flags.Uint64Var(&f.config.Seed, "seed", 1, "of the synthetic market, the jitter and faults by chance")
	flags.IntVar(&f.symbols, "symbols", 0, "stocks of the synthetic market, 1 to 9000")
	flags.StringVar(&f.from, "from", "", "first day of the synthetic market")
	flags.StringVar(&f.to, "to", "", "last day of the synthetic market")
	flags.StringVar(&f.now, "now", "", "virtual time, 2024-01-02T15:00, or a day for its end (default: end of the data)")
	flags.DurationVar(&f.config.PublishAt, "publish-at", 18*time.Hour, "time of day from which today's bars are shown")
	flags.BoolVar(&f.restate, "restate", false, "begin with values that a SIGHUP or a fault rule restate corrects")
	flags.DurationVar(&f.config.RTT, "rtt", 0, "delay of each answer")
	flags.DurationVar(&f.config.Jitter, "jitter", 0, "even variation of --rtt, both ways")
	flags.IntVar(&f.config.BytesPerSecond, "bytes-per-second", 0, "of the answers of a connection; 0: no limit")
	flags.DurationVar(&f.config.IdleTimeout, "idle-timeout", 0, "close connections silent for so long; 0: never")
	flags.IntVar(&f.config.PageCap, "page-cap", 10_000, "most rows in an answer")
	flags.StringArrayVar(&f.users, "user", nil, "NAME:PASSWORD that may log in (default anonymous:123456); repeatable")
	flags.IntVar(&f.config.MaxSessions, "max-sessions", 0, "logins at a time per address, more is error 10001005; 0: no limit")
	flags.BoolVar(&f.config.SessionsBan, "max-sessions-ban", false, "blacklist (10001011) instead of error 10001005")
	flags.IntVar(&f.config.RequestsPerSecond, "max-requests-per-second", 0, "per address, more is blacklisted; 0: no limit")
	flags.IntVar(&f.config.RequestsPerDay, "max-requests-per-day", 0, "per address, more is blacklisted; 0: no limit")
	flags.StringVar(&f.config.MinVersion, "min-version", "", "of clients, as 00.9.10; older ones get error 10001004")
	flags.BoolVar(&f.config.VersionReset, "min-version-reset", false, "reset the connection instead of error 10001004")
	flags.StringVar(&f.faultFile, "faults", "", "file with a fault script")
	flags.StringArrayVar(&f.faults, "fault", nil, "one rule of a fault script, as 'every 100 on 95: reset'; repeatable")
	flags.StringVar(&f.stats, "stats", "", "file for the counters as JSON, written whenever a connection ends and at the end")
	flags.StringVar(&f.requests, "requests", "", "file for every request as a line of JSON")
	flags.StringVar(&f.oracle, "oracle", "", "file for the true bars as CSV, written before the first answer")
	flags.StringVar(&f.factors, "oracle-factors", "", "file for the true adjustment factors as CSV")
}

// simBaoStock serves until a signal ends it.
func (s *session) simBaoStock(ctx context.Context, f *simFlags) (err error) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	market, err := f.complete()
	if err != nil {
		return err
	}
	if f.requests != "" {
		file, err := os.Create(f.requests)
		if err != nil {
			return fmt.Errorf("sim baostock: %w", err)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		f.config.OnRequest = requestLog[sim.Request](file)
	}
	if f.stats != "" {
		var mu sync.Mutex // connections end at the same time
		f.config.OnClose = func(stats sim.Stats) {
			mu.Lock()
			defer mu.Unlock()
			_ = writeStats(f.stats, stats) // the end tells
		}
	}
	server, err := sim.Start(ctx, f.listen, f.config)
	if err != nil {
		return err
	}
	if err := f.writeOracles(market, server.Shown()); err != nil {
		return errors.Join(err, server.Close())
	}
	s.simReady(server.Address())
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for open := true; open; {
		select {
		case <-hangups:
			server.Restate()
		case <-server.Done():
			open = false
		}
	}
	err = server.Close()
	stats := server.Stats()
	if f.stats != "" {
		err = errors.Join(err, writeStats(f.stats, stats))
	}
	return errors.Join(err, s.simEnd(stats))
}

// complete checks the flags, makes the market and returns its truth.
func (f *simFlags) complete() (sim.Market, error) {
	market, err := f.chinese(f.config.Seed)
	if err != nil {
		return nil, err
	}
	f.config.Market = market
	if f.restate {
		f.config.Market = sim.NewRestated(market, f.config.Seed)
	}
	if f.now != "" {
		if f.config.Now, err = parseNow(f.now); err != nil {
			return nil, err
		}
	}
	for _, user := range f.users {
		name, password, ok := strings.Cut(user, ":")
		if !ok {
			return nil, usage("--user %q: want NAME:PASSWORD", user)
		}
		if f.config.Users == nil {
			f.config.Users = map[string]string{}
		}
		f.config.Users[name] = password
	}
	f.config.Faults, err = readFaults(f.faultFile, f.faults, sim.ParseFaults)
	return market, err
}

// simMarket are the flags of the market that a vendor serves.
type simMarket struct {
	vendor                 string
	data, calendar, basics string
	symbols                int
	from, to               string
}

// registerFolder adds the flags of a market of files.
func (m *simMarket) registerFolder(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&m.data, "data", "", "folder of daily bars, *.csv or *.csv.gz")
	flags.StringVar(&m.calendar, "calendar", "", "with --data: CSV calendar_date,is_trading_day")
	flags.StringVar(&m.basics, "basics", "", "with --data: CSV code,code_name,ipoDate,outDate,type,status")
}

// chinese makes the market of the Chinese vendors.
func (m *simMarket) chinese(seed uint64) (sim.Market, error) {
	switch {
	case m.data != "":
		return sim.LoadCSV(m.data, m.calendar, m.basics)
	case !m.made():
		return nil, usage("sim %s: give --data DIR, or --symbols K --from DATE --to DATE", m.vendor)
	}
	from, to, err := m.span()
	if err != nil {
		return nil, err
	}
	return sim.Synthetic(seed, m.symbols, from, to)
}

// made reports whether a market is to be made from a seed.
func (m *simMarket) made() bool { return m.symbols != 0 && m.from != "" && m.to != "" }

// span returns the days of a market from a seed.
func (m *simMarket) span() (from, to sim.Date, err error) {
	if !m.made() {
		return 0, 0, usage("sim %s: give --symbols K --from DATE --to DATE", m.vendor)
	}
	if from, err = sim.ParseDate(m.from); err != nil {
		return 0, 0, usage("--from: %w", err)
	}
	if to, err = sim.ParseDate(m.to); err != nil {
		return 0, 0, usage("--to: %w", err)
	}
	return from, to, nil
}

// parseNow reads a minute, or a day, which stands for its end.
func parseNow(text string) (time.Time, error) {
	if t, err := time.Parse("2006-01-02T15:04", text); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return t, usage("--now %q: want 2024-01-02 or 2024-01-02T15:00", text)
	}
	return t.Add(24*time.Hour - time.Second), nil
}

// requestLog returns a hook that writes each request as a line.
func requestLog[R any](w io.Writer) func(R) {
	var mu sync.Mutex
	encoder := json.NewEncoder(w)
	return func(r R) {
		mu.Lock()
		defer mu.Unlock()
		_ = encoder.Encode(r) // a log that is full must not end the service
	}
}

func (f *simFlags) writeOracles(market sim.Market, shown sim.Date) error {
	for _, o := range []struct {
		path  string
		write func(io.Writer, sim.Market, sim.Date) error
	}{{f.oracle, sim.WriteOracle}, {f.factors, sim.WriteFactors}} {
		if o.path == "" {
			continue
		}
		file, err := os.Create(o.path)
		if err != nil {
			return fmt.Errorf("sim baostock: %w", err)
		}
		if err := errors.Join(o.write(file, market, shown), file.Close()); err != nil {
			return err
		}
	}
	return nil
}

// writeStats replaces the file of counters.
func writeStats(file string, stats any) error {
	text, err := json.MarshalIndent(stats, "", "  ")
	if err != nil {
		return err
	}
	part := filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+".part")
	if err := os.WriteFile(part, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write counters: %w", err)
	}
	return os.Rename(part, file)
}

// simReady prints the line that others wait for.
func (s *session) simReady(address string) {
	if !s.json {
		fmt.Fprintln(s.out, address)
		return
	}
	line, _ := json.Marshal(map[string]string{"address": address})
	fmt.Fprintf(s.out, "%s\n", line)
}

// simEnd prints what was asked.
func (s *session) simEnd(stats sim.Stats) error {
	if s.json {
		return s.printJSON(stats)
	}
	fmt.Fprintf(s.out, "%s, %s, %s (%d of k-data), %s; %d bytes in, %d out\n",
		plural(stats.Connections, "connection"), plural(stats.Logins, "login"), plural(stats.Requests, "request"),
		stats.KData, plural(stats.Rows, "row"), stats.BytesIn, stats.BytesOut)
	s.printCounts("requests of type", stats.ByType)
	s.printCounts("answers with error", stats.Errors)
	s.printCounts("faults", stats.Faults)
	return nil
}

// printCounts prints what was counted, a line each.
func (s *session) printCounts(name string, counts map[string]int64) {
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(s.out, "  %s %s: %d\n", name, key, counts[key])
	}
}

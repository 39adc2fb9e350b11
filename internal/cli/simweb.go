package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/tapeline/tapeline/internal/sim"
)

// webVendor is a vendor whose HTTP service is simulated.
type webVendor struct {
	name   string
	what   string // is served
	kinds  []string
	files  bool // bars may come from files
	limits string
	start  func(ctx context.Context, f *webFlags) (*sim.Web, error)
}

// webVendors returns those there are.
func webVendors() []webVendor {
	return []webVendor{
		{
			"eastmoney", "the k-lines and lists of EastMoney", sim.EastMoneyKinds(), true,
			"requests a minute per address, more is a closed connection",
			func(ctx context.Context, f *webFlags) (*sim.Web, error) {
				m, err := f.chinese(f.config.Seed)
				if err != nil {
					return nil, err
				}
				return sim.StartEastMoney(ctx, f.listen, m, f.config)
			},
		},
		{
			"tencent", "the k-lines and quotes of Tencent", sim.TencentKinds(), true,
			"requests a minute per address, more is status 403",
			func(ctx context.Context, f *webFlags) (*sim.Web, error) {
				m, err := f.chinese(f.config.Seed)
				if err != nil {
					return nil, err
				}
				return sim.StartTencent(ctx, f.listen, m, f.config)
			},
		},
		{
			"tushare", "the tables of Tushare", sim.TushareKinds(), true,
			"requests a minute per address, more is the vendor's text about it",
			func(ctx context.Context, f *webFlags) (*sim.Web, error) {
				m, err := f.chinese(f.config.Seed)
				if err != nil {
					return nil, err
				}
				return sim.StartTushare(ctx, f.listen, m, f.config)
			},
		},
		{
			"yahoo", "the charts of Yahoo", sim.YahooKinds(), false,
			"requests a minute per address, more is status 429",
			func(ctx context.Context, f *webFlags) (*sim.Web, error) {
				from, to, err := f.span()
				if err != nil {
					return nil, err
				}
				m, err := sim.SyntheticUS(f.config.Seed, f.symbols, from, to)
				if err != nil {
					return nil, err
				}
				return sim.StartYahoo(ctx, f.listen, m, f.config)
			},
		},
		{
			"binance", "the k-lines, list of pairs and files of Binance spot", sim.BinanceKinds(), false,
			"weight a minute per address, more is status 429, then 418",
			func(ctx context.Context, f *webFlags) (*sim.Web, error) {
				from, to, err := f.span()
				if err != nil {
					return nil, err
				}
				m, err := sim.SyntheticCoins(f.config.Seed, f.symbols, from, to)
				if err != nil {
					return nil, err
				}
				return sim.StartBinance(ctx, f.listen, m, f.config)
			},
		},
	}
}

// webFlags are the flags of a vendor's command.
type webFlags struct {
	simMarket

	listen, now     string
	faultFile       string
	faults          []string
	stats, requests string
	config          sim.WebConfig
}

func (s *session) simWebCommand(v webVendor) *cobra.Command {
	f := &webFlags{simMarket: simMarket{vendor: v.name}}
	source := "--seed N --symbols K --from DATE --to DATE"
	if v.files {
		source = "(--data DIR [--calendar FILE] [--basics FILE] | " + source + ")"
	}
	c := &cobra.Command{
		Use:   v.name + " " + source,
		Short: "Serve " + v.what,
		Long: "Serves " + v.what + " over HTTP on this machine, with limits and faults of choice, so that a\n" +
			"pipeline can be tested without the network. The first line printed is the address. SIGTERM or Ctrl-C\n" +
			"ends it and prints what was asked. docs/sim-http.md describes the service and the fault script.",
		Example: "  tapeline sim " + v.name + " --listen 127.0.0.1:0 --seed 1 --symbols 20 --from 2023-01-01 --to 2024-06-28 \\\n" +
			"    --rtt 120ms --fault 'every 10 on " + v.kinds[0] + ": reset' --stats stats.json",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := idleMarketFlags(c, f.data); err != nil {
				return err
			}
			return s.simWeb(c.Context(), v, f)
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.listen, "listen", "127.0.0.1:0", "address to listen on; port 0 is any free one")
	if v.files {
		f.registerFolder(c)
	}
	flags.Uint64Var(&f.config.Seed, "seed", 1, "of the synthetic market, the jitter and faults by chance")
	flags.IntVar(&f.symbols, "symbols", 0, "instruments of the synthetic market")
	flags.StringVar(&f.from, "from", "", "first day of the synthetic market")
	flags.StringVar(&f.to, "to", "", "last day of the synthetic market")
	flags.StringVar(&f.now, "now", "", "virtual time, 2024-01-02T15:00, or a day for its end (default: end of the data)")
	flags.DurationVar(&f.config.RTT, "rtt", 0, "delay of each answer")
	flags.DurationVar(&f.config.Jitter, "jitter", 0, "even variation of --rtt, both ways")
	flags.IntVar(&f.config.PageCap, "page-cap", 0, "most rows in an answer; 0: the vendor's")
	flags.IntVar(&f.config.Limit, "limit", 0, v.limits+"; 0: no limit")
	flags.DurationVar(&f.config.Window, "limit-window", time.Minute, "what --limit counts over")
	flags.StringVar(&f.faultFile, "faults", "", "file with a fault script")
	flags.StringArrayVar(&f.faults, "fault", nil, "one rule of a fault script, as 'every 10: reset'; repeatable")
	flags.StringVar(&f.stats, "stats", "", "file for the counters as JSON, written at the end")
	flags.StringVar(&f.requests, "requests", "", "file for every request as a line of JSON")
	return c
}

// simWeb serves until a signal ends it.
func (s *session) simWeb(ctx context.Context, v webVendor, f *webFlags) (err error) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	if f.config.Faults, err = readFaults(f.faultFile, f.faults, func(script string) ([]sim.Rule, error) {
		return sim.ParseWebFaults(script, v.kinds)
	}); err != nil {
		return err
	}
	if f.now != "" {
		if f.config.Now, err = parseNow(f.now); err != nil {
			return err
		}
	}
	if f.requests != "" {
		file, err := os.Create(f.requests)
		if err != nil {
			return fmt.Errorf("sim %s: %w", v.name, err)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		f.config.OnRequest = requestLog[sim.WebRequest](file)
	}
	server, err := v.start(ctx, f)
	if err != nil {
		return err
	}
	s.simReady(server.Address())
	<-server.Done()
	err = server.Close()
	stats := server.Stats()
	if f.stats != "" {
		err = errors.Join(err, writeStats(f.stats, stats))
	}
	return errors.Join(err, s.webEnd(stats))
}

// webEnd prints what was asked.
func (s *session) webEnd(stats sim.WebStats) error {
	if s.json {
		return s.printJSON(stats)
	}
	fmt.Fprintf(s.out, "%s (%d over the limit), %s; %d bytes out\n",
		plural(stats.Requests, "request"), stats.Refused, plural(stats.Rows, "row"), stats.BytesOut)
	s.printCounts("requests of kind", stats.ByKind)
	s.printCounts("answers with status", stats.ByStatus)
	s.printCounts("faults", stats.Faults)
	return nil
}

// readFaults reads the rules of a file and those of flags.
func readFaults(file string, rules []string, parse func(string) ([]sim.Rule, error)) ([]sim.Rule, error) {
	text := strings.Join(rules, "\n")
	if file != "" {
		script, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read faults: %w", err)
		}
		text = string(script) + "\n" + text
	}
	parsed, err := parse(text)
	if err != nil {
		return nil, usage("%w", err)
	}
	return parsed, nil
}

package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/market"
)

// The made-up market of the demo.
const (
	demoSymbols = "60"
	demoFrom    = "2020-01-01"
	demoTo      = "2023-12-31"
)

// market keeps a market store with a simulated provider, proves that it is complete, and queries it.
func (d *demo) market(ctx context.Context) (err error) {
	d.say("\n7. Keep a market store. A data provider, simulated on this machine:")
	address, stop, err := d.provider(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	sync := []string{
		"sync", "--endpoint", address, "--store", "market", "--from", demoFrom, "--to", demoTo,
	}
	d.say("\n   A sync asks for what the calendar and the listings say is missing, and proves the result.")
	if err := d.child(ctx, sync...).Run(); err != nil {
		return err
	}
	d.say("\n   Another one finds nothing to ask, and writes nothing.")
	command := d.child(ctx, append(sync, "--quiet", "--json")...)
	var out bytes.Buffer
	command.Stdout = &out
	if err := command.Run(); err != nil {
		return err
	}
	var report ingest.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		return err
	}
	if report.DataRequests != 0 || report.Rows.New+report.Rows.Changed != 0 || len(report.Missing) != 0 {
		return fmt.Errorf("the second sync made %d requests and wrote %d rows, want none",
			report.DataRequests, report.Rows.New+report.Rows.Changed)
	}
	for _, dataset := range report.Datasets {
		if dataset.Dataset == market.Bar1D {
			d.result.Bars = dataset.Stored
		}
	}
	d.say("   %d requests for data, %d rows written, %d of %d sessions missing.", report.DataRequests,
		report.Rows.New+report.Rows.Changed, len(report.Missing), d.result.Bars)
	return d.queryMarket(ctx)
}

// queryMarket takes the bars out of the store and asks a database about them.
func (d *demo) queryMarket(ctx context.Context) error {
	d.say("\n   Query it: out as Parquet, which notebooks open, and into a database.")
	for _, args := range [][]string{
		{"export", "--store", "market", "--dataset", "bar_1d", "--out", "bars.parquet", "--quiet"},
		{"copy", "bars.parquet", "bars.db", "--quiet"},
	} {
		if err := d.child(ctx, args...).Run(); err != nil {
			return err
		}
	}
	return d.show(ctx, "bars.db", `select min(date) as first, max(date) as last, count(distinct symbol) as symbols,
       count(*) as bars, sum(volume) as volume from bars group by substr(date, 1, 4) order by 1`)
}

// provider starts the simulated provider in a process of its own.
func (d *demo) provider(ctx context.Context) (address string, stop func() error, err error) {
	command := d.child(ctx, "sim", "baostock", "--listen", "127.0.0.1:0", "--seed", "1", "--symbols", demoSymbols,
		"--from", demoFrom, "--to", demoTo, "--quiet")
	pipe, err := command.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := command.Start(); err != nil {
		return "", nil, err
	}
	out := bufio.NewReader(pipe)
	line, err := out.ReadString('\n')
	if err != nil {
		return "", nil, fmt.Errorf("the provider ended: %w", errors.Join(err, command.Wait()))
	}
	return strings.TrimSpace(line), func() error {
		if err := command.Process.Signal(syscall.SIGTERM); err != nil {
			return ignoreFinished(err)
		}
		_, _ = out.WriteTo(new(bytes.Buffer)) // its counters
		return command.Wait()
	}, nil
}

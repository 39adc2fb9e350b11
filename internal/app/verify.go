package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/tapeline/tapeline/internal/flow/run"
	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/market"
)

// Verify describes `tapeline verify`.
type Verify struct {
	Store    string
	Symbols  []string // as any scheme with an exchange in it writes them; nil: all
	From, To string
	Provider string // asked for the sample; "": baostock
	Endpoint string
	// Sample is how many symbols are asked for again, or "all"; "" is 20 where a provider or an
	// endpoint is named, none otherwise.
	Sample string
	Seed   uint64
}

const (
	usualSample = 20  // symbols
	sampleDays  = 365 // of each
)

// request reads what is asked for; sample reports whether a provider is to be asked.
func (v Verify) request() (r *ingest.Verify, sample *ingest.Sample, err error) {
	r = &ingest.Verify{Providers: Provider}
	if r.Symbols, err = anySymbols(v.Symbols); err != nil {
		return nil, nil, &ingest.RequestError{Reasons: []string{err.Error()}}
	}
	if r.Span, err = days(v.From, v.To); err != nil {
		return nil, nil, &ingest.RequestError{Reasons: []string{err.Error()}}
	}
	if v.Seed == 0 {
		v.Seed = uint64(market.From(time.Now()))
	}
	switch {
	case v.Sample == "" && v.Provider == "" && v.Endpoint == "", v.Sample == "0":
		return r, nil, nil
	case v.Sample == "":
		return r, &ingest.Sample{Symbols: usualSample, Days: sampleDays, Seed: v.Seed}, nil
	case v.Sample == "all":
		return r, &ingest.Sample{Seed: v.Seed}, nil
	}
	n, err := strconv.Atoi(v.Sample)
	if err != nil || n < 0 {
		return nil, nil, &ingest.RequestError{Reasons: []string{fmt.Sprintf(
			"--sample %q: want a number of symbols, or all", v.Sample)}}
	}
	return r, &ingest.Sample{Symbols: n, Days: sampleDays, Seed: v.Seed}, nil
}

// anySymbols reads symbols as any scheme with an exchange in it writes them.
func anySymbols(texts []string) (symbols []market.Symbol, err error) {
	for _, text := range texts {
		symbol, err := anySymbol(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("--symbols: %w", err)
		}
		symbols = append(symbols, symbol)
	}
	return symbols, nil
}

// days reads a first and a last day, each of which may be missing; both missing is the zero interval.
func days(from, to string) (v market.Interval, err error) {
	if from == "" && to == "" {
		return v, nil
	}
	v = market.Interval{From: market.MinDate, To: market.MaxDate}
	if from != "" {
		if v.From, err = market.ParseDate(from); err != nil {
			return v, fmt.Errorf("--from: %w", err)
		}
	}
	if to != "" {
		if v.To, err = market.ParseDate(to); err != nil {
			return v, fmt.Errorf("--to: %w", err)
		}
	}
	if v.Empty() {
		return v, fmt.Errorf("--from %s is after --to %s", from, to)
	}
	return v, nil
}

// Verify looks for what is wrong in a store.
func (p *Parts) Verify(
	ctx context.Context, v Verify, stateDir string, log *slog.Logger, progress func(step string, done, all int64),
) (result *ingest.Verification, err error) {
	r, sample, err := v.request()
	if err != nil {
		return nil, err
	}
	r.Progress = progress
	boundMemory(v.config())
	if r.Store, err = openStore(v.Store, log, false); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Store.Close()) }()
	if sample == nil {
		return r.Run(ctx)
	}
	engine, err := OpenEngine(p, stateDir, log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	if sample.Provider, err = makeProvider(v.config(), r.Store, nil); err != nil {
		return nil, &ingest.RequestError{Reasons: []string{err.Error()}}
	}
	if sample.Provider.Close != nil {
		defer func() { err = errors.Join(err, sample.Provider.Close()) }()
	}
	sample.Start, r.Sample = engine.startFresh, sample
	return r.Run(ctx)
}

// config is the settings of whom to ask.
func (v Verify) config() ingest.Config {
	c := ingest.Defaults()
	c.Sync.Endpoint = v.Endpoint
	if v.Provider != "" {
		c.Sync.Provider = v.Provider
	}
	return c
}

// Repair describes `tapeline repair` of a store.
type Repair struct {
	Verify

	DryRun bool
}

// Repair asks a provider again for what is doubted. follow shows how its workflows go on.
func (p *Parts) Repair(
	ctx context.Context, v Repair, stateDir string, log *slog.Logger, progress func(step string, done, all int64),
	follow func(w *run.Workflow, progress func() ingest.Progress) (interrupted bool),
) (report *ingest.RepairReport, err error) {
	if v.Sample == "" {
		v.Sample = "0" // a sample is a wish: an endpoint is needed anyway
	}
	verify, sample, err := v.request()
	if err != nil {
		return nil, err
	}
	r := &ingest.Repair{Verify: *verify, DryRun: v.DryRun}
	r.Progress = progress
	boundMemory(v.config())
	if r.Store, err = openStore(v.Store, log, false); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Store.Close()) }()
	engine, err := OpenEngine(p, stateDir, log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	provider, err := makeProvider(v.config(), r.Store, nil)
	if err != nil {
		return nil, &ingest.RequestError{Reasons: []string{err.Error()}}
	}
	if provider.Close != nil {
		defer func() { err = errors.Join(err, provider.Close()) }()
	}
	r.Sync = ingest.Sync{
		Config: v.config(), Provider: provider, Now: time.Now(), Start: engine.startFresh, Follow: follow,
	}
	if sample != nil {
		sample.Provider, sample.Start = provider, engine.startFresh
		r.Sample = sample
	}
	return r.Run(ctx)
}

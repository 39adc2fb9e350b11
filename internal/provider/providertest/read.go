// Package providertest reads the sources of providers to their end, for their tests.
package providertest

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/provider"
	"github.com/tapeline/tapeline/internal/sim"
)

// Read reads units to their end. Each row is a line: of a dataset as JSON, of a quarantined record as
// "rule symbol date message", of a unit as "dataset symbol dates of source, rows, state".
func Read(t testing.TB, v provider.Vendor, settings provider.Settings, units ...market.Unit) ([]string, error) {
	t.Helper()
	settings.Units = units
	env := connector.Env{
		Log: slog.New(slog.DiscardHandler), Budget: connector.NewBudget(connector.Limits{Rows: 1000, Bytes: 1 << 20}),
	}
	s, err := v.Source(env, settings)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := s.Open(t.Context(), connector.Partition{}, nil); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for {
		chunk, err := s.Read(t.Context())
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return lines, err
		}
		for i := range chunk.Batch.Len() {
			lines = append(lines, line(t, chunk, i))
		}
	}
}

func line(t testing.TB, chunk connector.Chunk, i int) string {
	t.Helper()
	switch chunk.Table {
	case market.UnitTable:
		u, err := market.UnitAt(chunk.Batch, i)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%s, %d, %s", u, u.Rows, u.State)
	case market.QuarantineTable:
		q, err := market.QuarantineAt(chunk.Batch, i)
		if err != nil {
			t.Fatal(err)
		}
		day := "-"
		if q.Date != 0 {
			day = q.Date.String()
		}
		return fmt.Sprintf("%s %s %s %s", q.Rule, q.Symbol, day, q.Message)
	}
	return string(batch.AppendRow(nil, chunk.Batch, chunk.Batch.Row(i)))
}

// Serve answers every request as told, and returns settings that ask there without waiting.
func Serve(t testing.TB, v provider.Vendor, answer http.HandlerFunc) provider.Settings {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return At(v, server.URL)
}

// At returns settings that ask at an address without waiting.
func At(v provider.Vendor, endpoint string) provider.Settings {
	settings := v.Defaults()
	settings.Endpoint, settings.RequestsPerSecond, settings.Backoff = endpoint, 0, time.Millisecond
	return settings
}

// Unit is a unit of work; dates as 2024-01-02.
func Unit(t testing.TB, dataset, symbol, from, to string) market.Unit {
	t.Helper()
	u := market.Unit{Dataset: dataset, Symbol: symbol, State: market.StateOK}
	for text, date := range map[*market.Date]string{&u.From: from, &u.To: to} {
		d, err := market.ParseDate(date)
		if err != nil {
			t.Fatal(err)
		}
		*text = d
	}
	return u
}

// Simulate starts a vendor's simulator, which begin does, with rules of a fault script over its kinds, and returns
// settings that ask it. It ends with the test.
func Simulate(
	t testing.TB, v provider.Vendor, config sim.WebConfig, kinds, rules []string, begin func(sim.WebConfig) (*sim.Web, error),
) (*sim.Web, provider.Settings) {
	t.Helper()
	var err error
	if config.Faults, err = sim.ParseWebFaults(strings.Join(rules, "\n"), kinds); err != nil {
		t.Fatal(err)
	}
	w, err := begin(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w, At(v, "http://"+w.Address())
}

package ingest

import (
	"context"
	"errors"
	"fmt"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
)

// CapError says that a provider's answers end after so many rows, whatever was asked, and say that they
// are whole: going on would leave a hole in every instrument.
type CapError struct {
	Rows int64
	From market.Date // the newest row of the last such answer
}

// Error names the count, which is what the provider has to be asked about.
func (e *CapError) Error() string {
	return fmt.Sprintf("the provider's answers end after %d rows, %d of them in a row, the last on %s, and say "+
		"that they are whole: its page cap has shrunk; nothing more was asked", e.Rows, cutAnswers, e.From)
}

const (
	// cutAnswers is how many answers have to end after the same number of rows.
	cutAnswers = 3
	// roundRows divides page caps as providers have them.
	roundRows = 50
)

// cuts finds answers that were cut, among those of symbols over sessions. The caller keeps it to itself.
type cuts struct {
	expected map[unitID]Unit
	newest   map[string]market.Date // by dataset: of the rows since the unit before
	latest   market.Date            // of all rows
	rows     int64                  // of the last answers that were cut
	times    int
	found    *CapError
}

// note remembers the newest of a unit's rows, which come in order but for those of a second look.
func (c *cuts) note(dataset string, rows *batch.Batch) {
	at := rows.Schema().Index("date")
	if !bySession(dataset) || at < 0 || rows.Len() == 0 {
		return
	}
	day := market.Date(rows.Column(at).Int(rows.Row(rows.Len() - 1)))
	c.newest[dataset], c.latest = max(c.newest[dataset], day), max(c.latest, day)
}

// end judges an answer: it is cut when it has as many rows as those before, and the rest of its days is
// missing. That the provider is late, or its history ends, looks the same, but for round numbers and for
// other instruments having later rows.
func (c *cuts) end(id unitID, u market.Unit) {
	last := c.newest[u.Dataset]
	delete(c.newest, u.Dataset)
	want, ok := c.expected[id]
	if !ok || u.Rows == 0 {
		return
	}
	isCut := u.Rows < int64(want.Sessions) && last+settleDays < want.Gaps.Span().To &&
		(u.Rows%roundRows == 0 || last+settleDays < c.latest)
	switch {
	case isCut && u.Rows == c.rows:
		c.times++
	case isCut:
		c.rows, c.times = u.Rows, 1
	case u.Rows > c.rows:
		c.rows, c.times = 0, 0
	}
	if c.times == cutAnswers {
		c.found = &CapError{Rows: c.rows, From: last}
	}
}

// guardedSource stops asking when the answers turn out to be cut.
type guardedSource struct {
	connector.Source

	tally *tally
}

// guard watches over a source.
func guard(source connector.Source, t *tally) connector.Source {
	guarded := &guardedSource{source, t}
	if decoder, ok := source.(connector.Decoder); ok {
		return struct {
			*guardedSource
			connector.Decoder
		}{guarded, decoder}
	}
	return guarded
}

// Read reads on while the answers are whole.
func (g *guardedSource) Read(ctx context.Context) (connector.Chunk, error) {
	if cut := g.tally.cut(); cut != nil {
		return connector.Chunk{}, &connector.Error{
			Op: "read on", Class: connector.Permanent, Code: "page_cap_shrunk", Err: cut,
			Hint: "run the sync again when the provider's answers are whole; what came is stored",
		}
	}
	return g.Source.Read(ctx)
}

// asCap returns the CapError in an error, nil for none.
func asCap(err error) *CapError {
	cut, _ := errors.AsType[*CapError](err)
	return cut
}

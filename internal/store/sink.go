package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store/segment"
)

// staged are rows that wait for the commit: those to put have the fields, those to delete the key.
type staged struct {
	block *segment.Block
	op    int // opPut or opDelete
}

// sink writes the datasets of a store. What it was given waits in memory for the epoch's commit.
type sink struct {
	cfg  SinkConfig
	env  connector.Env
	open *openStores

	task    connector.Task
	writer  *Writer
	release func() error
	last    uint64 // newest committed epoch
	own     *dataset

	draft    draft
	staged   map[string][]staged
	received map[string]int64 // rows by dataset since the end of its unit before
	waiting  int              // rows since the last commit, or since Full asked for one
}

var (
	_ connector.Decider  = (*sink)(nil)
	_ connector.Upserter = (*sink)(nil)
	_ connector.Bounded  = (*sink)(nil)
)

func newSink(env connector.Env, cfg SinkConfig, open *openStores) (*sink, error) {
	if cfg.Path == "" && cfg.Writer == nil {
		return nil, misuse("open store", "path: required")
	}
	if len(cfg.Key) > 0 && cfg.Dataset == "" {
		return nil, misuse("open store", "key: it belongs to a dataset, which is not named")
	}
	s := &sink{cfg: cfg, env: env, open: open, received: map[string]int64{}}
	s.reset()
	return s, nil
}

func (s *sink) reset() {
	s.draft = draft{run: s.task.Run, source: s.cfg.Source, edits: map[string]*edits{}, unknown: s.cfg.Unknown}
	s.staged, s.waiting = map[string][]staged{}, 0
}

// Key returns the key of the one dataset the sink writes.
func (s *sink) Key() []string {
	if m, ok := market.DatasetByName(s.cfg.Dataset); ok {
		return m.Key
	}
	return s.cfg.Key
}

func (s *sink) identity() Epoch {
	return Epoch{Run: s.task.Run, Node: s.task.Node, Task: s.task.Index, Fence: s.task.Fence}
}

// Open takes the writer lock and makes this process the owner of the task's epochs.
func (s *sink) Open(ctx context.Context, task connector.Task) error {
	s.task = task
	s.writer, s.release = s.cfg.Writer, func() error { return nil }
	if s.writer == nil {
		holder := fmt.Sprintf("workflow %s, run %s", task.Workflow, task.Run)
		writer, release, err := s.open.take(ctx, s.cfg.Path, holder)
		if err != nil {
			s.release = nil
			return classify("open store", err)
		}
		s.writer, s.release = writer, release
	}
	var err error
	s.last, err = s.writer.store.claim(ctx, s.identity())
	s.reset()
	return classify("open store", err)
}

// token is what a later process needs to go on within a unit.
type token struct {
	Received map[string]int64 `json:"received,omitempty"`
}

// Recover checks that the store's newest epoch is the engine's, and goes on within the open units.
func (s *sink) Recover(_ context.Context, epoch connector.Epoch, raw []byte) error {
	number := epoch.Number
	if raw == nil {
		number = 0
	}
	if number != s.last {
		return misuse("recover store", "the store committed epoch %d of run %s, the engine's catalog says "+
			"%d: one of the two was restored from a backup, or the run lay still for longer than the store's horizon; "+
			"start with --fresh", s.last, s.task.Run, number)
	}
	var t token
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &t); err != nil {
			return misuse("recover store", "token: %w", err)
		}
	}
	s.received = map[string]int64{}
	maps.Copy(s.received, t.Received)
	s.reset()
	return nil
}

// Write takes over the chunk's rows. Nothing is visible before Decide.
func (s *sink) Write(ctx context.Context, chunk connector.Chunk) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	switch chunk.Table {
	case market.UnitTable:
		return s.units(chunk.Batch)
	case market.QuarantineTable:
		return s.quarantine(chunk.Batch)
	}
	name := chunk.Table
	if s.cfg.Dataset != "" {
		name = s.cfg.Dataset
	}
	if name == "" {
		return &connector.Error{
			Op: "write store", Class: connector.Schema, Err: errors.New("the rows name no dataset"),
			Hint: "set dataset of the store's sink",
		}
	}
	d, err := s.datasetOf(ctx, name, chunk.Batch.Schema())
	if err != nil {
		return classify("write store", err)
	}
	if chunk.Batch.Len() == 0 {
		_, err := inward{d, s.writer.store.symbols, false}.columnsOf(chunk.Batch.Schema())
		return err
	}
	return s.rows(d, chunk)
}

// datasetOf finds a dataset, or makes one of the sink's own from the columns of its first rows.
func (s *sink) datasetOf(ctx context.Context, name string, schema *batch.Schema) (*dataset, error) {
	if s.own != nil && s.own.Name == name {
		return s.own, nil
	}
	if e := s.draft.edits[name]; e != nil {
		return e.dataset, nil // nobody else commits before this epoch does
	}
	state, err := s.writer.store.refresh(ctx)
	if err != nil {
		return nil, err
	}
	d, err := s.writer.writable(state, name)
	if !errors.Is(err, ErrDataset) {
		return d, err
	}
	if len(s.cfg.Key) == 0 {
		return nil, &connector.Error{
			Op: "write dataset " + name, Class: connector.Schema, Err: err,
			Hint: "name one of the known datasets, or set key to make one of your own",
		}
	}
	m, err := ownDataset(name, s.cfg.Key, schema)
	if err == nil {
		s.own, err = newDataset(m)
	}
	if err != nil {
		return nil, &connector.Error{Op: "make dataset " + name, Class: connector.Schema, Err: err}
	}
	return s.own, nil
}

// ownDataset describes a dataset made from rows.
func ownDataset(name string, key []string, schema *batch.Schema) (market.Dataset, error) {
	for _, ch := range name {
		if (ch < 'a' || ch > 'z') && (ch < '0' || ch > '9') && ch != '_' {
			return market.Dataset{}, fmt.Errorf("dataset name %q: use lower-case letters, digits and _", name)
		}
	}
	fields := slices.Clone(schema.Fields())
	m := market.Dataset{Name: name, Key: key}
	for i, f := range fields {
		if slices.Contains(key, f.Name) {
			fields[i].Nullable = false
			if f.Type.Kind == batch.Date && m.Time == "" {
				m.Time, m.Partition = f.Name, market.PartitionYear
			}
			continue
		}
		fields[i].Nullable = true
	}
	m.Schema = batch.NewSchema(fields...)
	return m, nil
}

// rows takes over rows of a dataset. In a stream of units what does not fit goes to quarantine, as it
// was received; elsewhere it is refused.
func (s *sink) rows(d *dataset, chunk connector.Chunk) error {
	b := chunk.Batch
	received := int64(b.Len())
	var held []market.Quarantine
	if d.strict {
		b, held = s.check(d, b)
	}
	if b.Operations() != nil {
		var err error
		if b, err = lastPerKey(d, b); err != nil {
			return err
		}
	}
	stays, gone := byOperation(b)
	in := inward{d, s.writer.store.symbols, false}
	block, refused, err := in.block(stays)
	if err != nil {
		return err
	}
	s.stage(d, block, opPut)
	if gone != nil {
		in.keys = true
		keys, bad, err := in.block(gone)
		if err != nil {
			return err
		}
		refused = append(refused, bad...)
		s.stage(d, keys, opDelete)
	}
	if chunk.Table != "" {
		for _, e := range refused {
			held = append(held, s.held(d, b, e.Row, "type", e.Error()))
		}
		refused = nil
	}
	s.draft.quarantine = append(s.draft.quarantine, held...)
	s.received[d.Name] += received
	s.waiting += int(received)
	if len(refused) > 0 {
		return &connector.PartialError{Rows: batch.OncePerRow(refused)}
	}
	return nil
}

// stage keeps rows for the epoch's commit.
func (s *sink) stage(d *dataset, b *segment.Block, op int) {
	s.draft.of(d)
	if b.Len() > 0 {
		s.staged[d.Name] = append(s.staged[d.Name], staged{b, op})
	}
}

// lastPerKey narrows a batch to the last row of each key, as its operations follow each other.
func lastPerKey(d *dataset, b *batch.Batch) (*batch.Batch, error) {
	for _, name := range d.Key {
		if b.Schema().Index(name) < 0 {
			return b, nil // refused later, by name
		}
		b, _ = b.Typed(b.Schema().Index(name))
	}
	return batch.LastPerKey(b, d.Key)
}

// byOperation parts rows that are to stay from those that are to go; nil when there are none.
func byOperation(b *batch.Batch) (stays, gone *batch.Batch) {
	if b.Operations() == nil {
		return b, nil
	}
	var keep, drop []int32
	for i := range b.Len() {
		row := b.Row(i)
		if b.Operation(row) == batch.Delete {
			drop = append(drop, int32(row))
		} else {
			keep = append(keep, int32(row))
		}
	}
	if len(drop) == 0 {
		return b, nil
	}
	if keep == nil {
		keep = []int32{}
	}
	return b.Select(keep), b.Select(drop)
}

// check takes rows that break a rule of quality out of a batch.
func (s *sink) check(d *dataset, b *batch.Batch) (*batch.Batch, []market.Quarantine) {
	var held []market.Quarantine
	var out []batch.RowError
	dense, bad := b.Dense()
	if len(bad) > 0 || dense.Len() != b.Rows() {
		// Rules look at values: rows whose text does not read as its type are refused later.
		typed := b
		for i := range b.Columns() {
			typed, _ = typed.Typed(i)
		}
		dense = typed
	}
	for _, e := range market.Check(d.Name, dense) {
		if len(out) > 0 && out[len(out)-1].Row == e.Row {
			continue
		}
		out = append(out, batch.RowError{Row: e.Row, Reason: e.Message})
		held = append(held, s.held(d, b, e.Row, e.Rule, e.Message))
	}
	if len(out) == 0 {
		return b, nil
	}
	return b.Without(out), held
}

// held describes a row that is not written.
func (s *sink) held(d *dataset, b *batch.Batch, row int, rule, message string) market.Quarantine {
	q := market.Quarantine{
		Dataset: d.Name, Source: s.cfg.Source, Rule: rule, Message: message,
		Raw: string(batch.AppendRow(nil, b, row)), Place: b.Origin().At(row).String(),
	}
	read := func(name string) (string, bool) {
		at := b.Schema().Index(name)
		if at < 0 {
			return "", false
		}
		c, bad := b.Column(at), []batch.RowError(nil)
		if c.Lazy() {
			if c, bad = c.Typed([]int32{int32(row)}); len(bad) > 0 {
				return "", false
			}
		}
		if c.IsNull(row) {
			return "", false
		}
		return string(batch.AppendText(nil, c, row)), true
	}
	q.Symbol, _ = read("symbol")
	if text, ok := read(d.Time); ok {
		const dateLength = len("2006-01-02")
		if date, err := market.ParseDate(text[:min(len(text), dateLength)]); err == nil {
			q.Date = date
		}
	}
	return q
}

// quarantine takes over rows that the source refused.
func (s *sink) quarantine(b *batch.Batch) error {
	dense, bad := b.Dense()
	if len(bad) > 0 {
		return misuse("write quarantine", "row %w", bad[0])
	}
	for row := range dense.Len() {
		q, err := market.QuarantineAt(dense, row)
		if err != nil {
			return misuse("write quarantine", "%w", err)
		}
		s.draft.quarantine = append(s.draft.quarantine, q)
		s.received[q.Dataset]++
	}
	s.waiting += dense.Len()
	return nil
}

// units closes units of work: what was received is compared with what the source sent.
// invariant: a unit of which rows are missing never becomes coverage
func (s *sink) units(b *batch.Batch) error {
	dense, bad := b.Dense()
	if len(bad) > 0 {
		return misuse("write unit", "row %w", bad[0])
	}
	for row := range dense.Len() {
		u, err := market.UnitAt(dense, row)
		if err != nil {
			return misuse("write unit", "%w", err)
		}
		if got := s.received[u.Dataset]; got < u.Rows && u.State.Covers() {
			s.env.Log.Warn("unit is short", "unit", u.String(), "rows", u.Rows, "received", got)
			u.State = market.StatePartial
		}
		s.received[u.Dataset] = 0
		cover := Cover{
			Dataset: u.Dataset, Freq: u.Freq, Source: u.Source, Symbol: u.Symbol,
			Interval: u.Interval(), State: u.State,
		}
		if _, err := gather([]Cover{cover}, s.writer.store.symbols.ofUnit); err != nil {
			// The commit would refuse it, and with it all other units'.
			s.env.Log.Warn("unit is not counted", "unit", u.String(), "reason", err)
			s.draft.quarantine = append(s.draft.quarantine, market.Quarantine{
				Dataset: u.Dataset, Symbol: u.Symbol, Source: u.Source, Rule: "unit", Raw: u.String(),
				Message: err.Error(),
			})
			continue
		}
		s.draft.coverage = append(s.draft.coverage, cover)
	}
	return nil
}

// fullRows is how many rows wait for a commit at most, as they wait in memory.
const fullRows = 128 << 10

// Full reports that the epoch is to end now, whatever the time.
func (s *sink) Full() bool {
	if s.waiting < fullRows {
		return false
	}
	s.waiting = 0
	return true
}

// Prepare ends the epoch. Nothing is durable yet: Decide makes it so in one step.
func (s *sink) Prepare(context.Context, connector.Epoch) (connector.Prepared, error) {
	t := token{Received: map[string]int64{}}
	for name, n := range s.received {
		if n > 0 {
			t.Received[name] = n
		}
	}
	raw, err := json.Marshal(t)
	return connector.Prepared{Token: raw}, err
}

// Decide commits what was written since the last epoch, with the epoch's number. Committed.
func (s *sink) Decide(ctx context.Context, epoch connector.Epoch) error {
	if epoch.Number <= s.last {
		return misuse("commit epoch", "epoch %d of node %s is committed already", s.last, s.task.Node)
	}
	d := s.draft
	for name, e := range d.edits {
		var err error
		if e.puts, e.deletes, err = joined(e.dataset, s.staged[name]); err != nil {
			return classify(fmt.Sprintf("commit epoch %d", epoch.Number), err)
		}
	}
	mark := s.identity()
	mark.Before, mark.Number = s.last, epoch.Number
	d.epoch = &mark
	if _, err := s.writer.apply(ctx, d); err != nil {
		return classify(fmt.Sprintf("commit epoch %d", epoch.Number), err)
	}
	s.last, s.own = epoch.Number, nil // the catalog names it now
	s.reset()
	return nil
}

// joined puts staged blocks in order and parts what is to stay from what is to go, by the last row of
// each key; nil where there is none.
func joined(d *dataset, list []staged) (puts []segment.Run, deletes *segment.Block, err error) {
	inputs := make([][]segment.Run, len(list))
	ops := map[*segment.Block]int{}
	for i, s := range list {
		inputs[i], ops[s.block] = s.block.Sort(), s.op
	}
	var parted [2][]segment.Run // opPut, opDelete
	for _, r := range segment.Merge(nil, inputs) {
		op := ops[r.Block]
		parted[op] = append(parted[op], r)
	}
	if len(parted[opDelete]) > 0 {
		deletes, err = d.gathered(d.keys, parted[opDelete])
	}
	return parted[opPut], deletes, err
}

// Commit has nothing left to publish.
func (s *sink) Commit(context.Context, connector.Epoch, []byte) error { return nil }

// Decided returns the newest epoch committed for the task's run.
func (s *sink) Decided(ctx context.Context) (uint64, error) {
	n, err := s.writer.store.decided(ctx, s.identity())
	return n, classify("read epoch", err)
}

// Check opens the store.
func (s *sink) Check(context.Context) error {
	if s.cfg.Writer != nil {
		return nil
	}
	store, err := Open(s.cfg.Path, Config{})
	if err != nil {
		return classify("check store", err)
	}
	return store.Close()
}

// Close releases the lock. What was not committed is dropped.
func (s *sink) Close() error {
	if s.release == nil {
		return nil
	}
	release := s.release
	s.release = nil
	return release()
}

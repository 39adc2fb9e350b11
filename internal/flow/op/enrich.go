package op

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

// EnrichConfig configures enrich.
type EnrichConfig struct {
	Lookup    LookupConfig   `yaml:"lookup" required:"true" doc:"the connector that answers"`
	On        []KeyColumn    `yaml:"on" required:"true" doc:"mapping of the rows' key columns to the lookup's columns"`
	Columns   []LookupColumn `yaml:"columns" required:"true" doc:"mapping of new columns to what they take: a type, or from and type"`
	Prefix    string         `yaml:"prefix" doc:"put before the names of new columns"`
	OnMissing string         `yaml:"on_missing" enum:"null,drop,dead_letter" doc:"what becomes of a row without answer: null leaves its new columns NULL"`
	Cache     CacheConfig    `yaml:"cache" doc:"answers kept by each worker"`
}

// LookupConfig names a Lookup connector.
type LookupConfig struct {
	Type   string         `yaml:"type" required:"true" doc:"type of a connector that answers lookups"`
	Config map[string]any `yaml:"config" doc:"its config"`
}

// KeyColumn is one entry of enrich's on.
type KeyColumn struct {
	Column string `yaml:",key"`
	Lookup string `yaml:",value"`
}

// LookupColumn is one entry of enrich's columns.
type LookupColumn struct {
	Name string `yaml:",key"`
	Only string `yaml:",value"` // the type, where nothing else is said
	Type string `yaml:"type" doc:"type of the column; may be written alone; none: the lookup's, where the connector can say it before the first answer"`
	From string `yaml:"from" doc:"the lookup's column; default: the same name"`
}

// CacheConfig bounds the answers an enrich node keeps.
type CacheConfig struct {
	MaxEntries  int           `yaml:"max_entries" min:"0" doc:"keys; 0: no cache"`
	TTL         time.Duration `yaml:"ttl" min:"0" doc:"how long an answer holds; 0: as long as the run"`
	NegativeTTL time.Duration `yaml:"negative_ttl" min:"0" doc:"how long it holds that a key has no answer; 0: as long as ttl"`
}

// Enrich adds columns that another system knows.
func Enrich() Spec {
	return newSpec(Spec{
		Name:    "enrich",
		Summary: "Adds columns looked up by key in another system.",
		Doc: "For each batch the distinct keys that the cache does not know go to the lookup in one " +
			"call. `columns` declares the new columns, so that rows have one schema from the first " +
			"batch on; an answer that does not fit its type refuses the rows it is for. A new column " +
			"whose name exists replaces it in its place.\n\n" +
			"A key that is or contains NULL has no answer. Of several answers to one key the lookup " +
			"gives the first. Each worker has a connection and a cache of its own; a cached answer " +
			"may be as old as `cache.ttl`.\n\n" +
			"Row operations pass unchanged; deletes are not looked up: their new columns are NULL.",
	}, EnrichConfig{
		OnMissing: "null", Cache: CacheConfig{MaxEntries: 100_000, TTL: 10 * time.Minute},
	}, newEnrich)
}

type enrich struct {
	config EnrichConfig
	ctx    context.Context //nolint:containedctx // of the task attempt, as Env.Context says
	lookup connector.Lookup
	opened bool
	known  *batch.Schema // the lookup's columns where it can say them
	types  []batch.Type  // per column; Null: the lookup's own
	cache  *answerCache
	cached string // types of the cache's keys and answers
}

var _ Closer = (*enrich)(nil)

func newEnrich(env Env, config *EnrichConfig) (Operator, error) {
	var bad faults
	bad.join(oneOf("on_missing", config.OnMissing, "null", drop, deadLetter))
	if len(config.On) == 0 || len(config.Columns) == 0 {
		bad.join(errors.New("on and columns name at least one column each"))
	}
	if config.Cache.MaxEntries < 0 || config.Cache.TTL < 0 || config.Cache.NegativeTTL < 0 {
		bad.add("cache", errors.New("is below 0"))
	}
	e := &enrich{config: *config, ctx: env.context()}
	for _, column := range config.Columns {
		typ := batch.Of(batch.Null)
		if text := column.Only + column.Type; text != "" {
			var err error
			typ, err = batch.ParseType(text)
			bad.add("columns."+column.Name, err)
		}
		e.types = append(e.types, typ)
	}
	if len(bad) > 0 {
		return nil, bad.err()
	}
	if env.Lookup == nil {
		return e, nil // lint and explain look nothing up
	}
	var err error
	if e.lookup, err = env.Lookup(config.Lookup.Type, config.Lookup.Config); err != nil {
		return nil, &ConfigError{"lookup", err}
	}
	return e, nil
}

// ErrNoLookup says that an enrich node was to ask its lookup in an Env without one.
var ErrNoLookup = errors.New("nothing is looked up here")

// Close ends the connection and the cache.
func (e *enrich) Close() error {
	if e.cache != nil {
		e.cache.close()
	}
	if !e.opened {
		return nil
	}
	e.opened = false
	return e.lookup.Close()
}

// open connects on first use, so that a worker without rows costs no connection.
func (e *enrich) open() error {
	if e.opened {
		return nil
	}
	if e.lookup == nil {
		return &ConfigError{"lookup", fmt.Errorf("%s cannot answer here: %w", e.config.Lookup.Type, ErrNoLookup)}
	}
	if err := e.lookup.Open(e.ctx); err != nil {
		return fmt.Errorf("open lookup %s: %w", e.config.Lookup.Type, err)
	}
	e.opened = true
	return nil
}

// Bind finds the keys and lays out the new columns.
func (e *enrich) Bind(in *batch.Schema) (Bound, error) {
	b := &boundEnrich{enrich: e, width: in.Len()}
	var keys []batch.Field
	for _, key := range e.config.On {
		at := in.Index(key.Column)
		if at < 0 {
			return nil, &ConfigError{"on." + key.Column, fmt.Errorf("no column %q", key.Column)}
		}
		b.keyAt = append(b.keyAt, at)
		keys = append(keys, batch.Field{Name: key.Lookup, Type: in.Field(at).Type})
	}
	b.keySchema = batch.NewSchema(keys...)
	fields := append([]batch.Field(nil), in.Fields()...)
	for i, column := range e.config.Columns {
		from := column.From
		if from == "" {
			from = column.Name
		}
		typ, err := e.typeOf(i, from)
		if err != nil {
			return nil, &ConfigError{"columns." + column.Name, err}
		}
		field := batch.Field{Name: e.config.Prefix + column.Name, Type: typ, Nullable: true}
		at := in.Index(field.Name)
		if at < 0 {
			at = len(fields)
			fields = append(fields, field)
		} else {
			fields[at] = field
		}
		b.at = append(b.at, at)
		b.from = append(b.from, from)
		b.fields = append(b.fields, field)
	}
	if err := distinct(fields, "set prefix"); err != nil {
		return nil, &ConfigError{"columns", err}
	}
	b.schema = batch.NewSchema(fields...)
	e.keepCache(b.keySchema.String() + " -> " + batch.NewSchema(b.fields...).String())
	return b, nil
}

// keepCache starts a new cache when keys or answers have other types than before: both are
// stored in the form of their types.
func (e *enrich) keepCache(types string) {
	if e.cache != nil && e.cached == types {
		return
	}
	if e.cache != nil {
		e.cache.close()
	}
	e.cache, e.cached = newAnswerCache(e.config.Cache), types
}

// typeOf returns the declared type of a column, or asks the connector.
func (e *enrich) typeOf(i int, from string) (batch.Type, error) {
	if e.types[i].Kind != batch.Null {
		if e.types[i].Nested() {
			return batch.Type{}, fmt.Errorf("%s: nested types cannot be looked up; declare json", e.types[i])
		}
		return e.types[i], nil
	}
	discoverer, ok := e.lookup.(connector.Discoverer)
	switch {
	case e.lookup == nil:
		return batch.Type{}, ErrNoLookup
	case !ok:
		return batch.Type{}, errors.New("needs a type: the lookup cannot say it before its first answer")
	}
	if e.known == nil {
		if err := e.open(); err != nil {
			return batch.Type{}, err
		}
		known, err := discoverer.Discover(e.ctx)
		if err != nil {
			return batch.Type{}, fmt.Errorf("columns of the lookup: %w", err)
		}
		e.known = known
	}
	at := e.known.Index(from)
	if at < 0 {
		return batch.Type{}, fmt.Errorf("the lookup has no column %q (it has %s)", from, e.known)
	}
	if typ := e.known.Field(at).Type; !typ.Nested() && typ.Kind != batch.Foreign {
		return typ, nil
	}
	return batch.Of(batch.JSON), nil
}

type boundEnrich struct {
	*enrich
	width     int
	keyAt     []int
	keySchema *batch.Schema
	at        []int         // positions of the new columns
	from      []string      // their names in answers
	fields    []batch.Field // the new columns
	schema    *batch.Schema

	slots   map[string]int32 // key -> index of answers, for one batch
	answers []answer
	scratch []byte
}

var _ Shaper = (*boundEnrich)(nil)

// Schema returns the columns with the looked-up ones.
func (e *boundEnrich) Schema() *batch.Schema { return e.schema }

// Apply answers the distinct keys from the cache or by one call, and gathers the answers.
func (e *boundEnrich) Apply(b *batch.Batch, out *Output) error {
	b = typedAll(b, e.keyAt, out)
	slot, firsts := e.distinctKeys(b)
	if err := e.ask(b, firsts); err != nil {
		return err
	}
	b = e.missing(b, slot, out)
	if b.Len() == 0 && !out.Empty {
		return nil
	}
	columns := make([]*batch.Column, e.schema.Len())
	copy(columns, b.Columns())
	for i, column := range e.decode(len(e.fields)) {
		columns[e.at[i]] = column.Gather(slot)
	}
	out.Emit(b.WithColumns(e.schema, columns))
	return nil
}

// distinctKeys numbers the keys of a batch. slot has the number of each physical row, 0 for rows
// without key; firsts has the first row of each number from 1 that the cache did not know.
func (e *boundEnrich) distinctKeys(b *batch.Batch) (slot, firsts []int32) {
	slot = make([]int32, b.Rows())
	if e.slots == nil {
		e.slots = map[string]int32{}
	}
	clear(e.slots)
	clear(e.answers)
	e.answers = append(e.answers[:0], answer{})
	keys := make([]*batch.Column, len(e.keyAt))
	for i, at := range e.keyAt {
		keys[i] = b.Column(at)
	}
	for i := range b.Len() {
		row := b.Row(i)
		if b.Operation(row) == batch.Delete || anyNull(keys, row) {
			continue
		}
		e.scratch = batch.AppendKey(e.scratch[:0], keys, row)
		n, ok := e.slots[string(e.scratch)]
		if !ok {
			n = int32(len(e.answers))
			key := string(e.scratch)
			e.slots[key] = n
			found, cached := e.cache.get(key)
			if found.key = key; !cached {
				firsts = append(firsts, int32(row))
				found.asked = true
			}
			e.answers = append(e.answers, found)
		}
		slot[row] = n
	}
	return slot, firsts
}

func anyNull(columns []*batch.Column, row int) bool {
	for _, c := range columns {
		if c.IsNull(row) {
			return true
		}
	}
	return false
}

// ask looks up the keys of the given rows, in the order of the answers that wait for them.
func (e *boundEnrich) ask(b *batch.Batch, rows []int32) error {
	if len(rows) == 0 {
		return nil
	}
	if err := e.open(); err != nil {
		return err
	}
	columns := make([]*batch.Column, len(e.keyAt))
	for i, at := range e.keyAt {
		columns[i] = b.Column(at).Gather(rows)
	}
	op := "look up in " + e.config.Lookup.Type
	found, row, err := e.lookup.Lookup(e.ctx, batch.New(e.keySchema, columns, len(rows)))
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if len(row) != len(rows) {
		return fmt.Errorf("%s: %d answers to %d keys", op, len(row), len(rows))
	}
	values, bad, err := e.values(found)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	next := 0
	for i := range e.answers {
		a := &e.answers[i]
		if !a.asked {
			continue
		}
		if at := row[next]; at >= 0 {
			a.found, a.fault = true, bad[int(at)]
			a.record = appendRecord(nil, values, int(at))
		}
		next++
		e.cache.put(*a)
	}
	return nil
}

// values returns the answers' columns in the declared types, and why rows do not fit.
func (e *boundEnrich) values(found *batch.Batch) ([]*batch.Column, map[int]string, error) {
	bad := map[int]string{}
	if found == nil {
		return nil, bad, nil
	}
	values := make([]*batch.Column, len(e.fields))
	for i, field := range e.fields {
		at := found.Schema().Index(e.from[i])
		if at < 0 {
			return nil, nil, fmt.Errorf("the answer has no column %q (it has %s)", e.from[i], found.Schema())
		}
		c := found.Column(at)
		if !convertible(c.Type(), field.Type) {
			return nil, nil, fmt.Errorf("column %s is %s, which cannot become %s",
				e.from[i], c.Type(), field.Type)
		}
		converted, errs := convert(c, field.Type, nil)
		for _, fault := range errs {
			bad[fault.Row] = "answer's column " + e.from[i] + ": " + fault.Reason
		}
		values[i] = converted
	}
	return values, bad, nil
}

// missing follows on_missing for rows without answer, and refuses rows whose answer does not fit.
func (e *boundEnrich) missing(b *batch.Batch, slot []int32, out *Output) *batch.Batch {
	var gone, refused []batch.RowError
	for i := range b.Len() {
		row := b.Row(i)
		a := &e.answers[slot[row]]
		if a.found && a.fault == "" || b.Operation(row) == batch.Delete {
			continue
		}
		if !a.found && e.config.OnMissing == "null" {
			continue
		}
		fault := batch.RowError{Row: row, Reason: a.fault}
		if !a.found {
			fault.Column = e.config.On[0].Column
			fault.Reason = "no answer for " + shownValue(b, e.keyAt[0], row)
		}
		gone = append(gone, fault)
		if a.found || e.config.OnMissing == deadLetter {
			refused = append(refused, fault)
		}
	}
	out.Reject(b, refused)
	return b.Without(gone)
}

// decode makes columns of the answers of one batch; number 0 and misses are NULL.
func (e *boundEnrich) decode(width int) []*batch.Column {
	appenders := make([]*batch.Appender, width)
	for i := range appenders {
		appenders[i] = batch.NewAppender(e.fields[i].Type)
	}
	for _, a := range e.answers {
		if !a.found || a.fault != "" {
			for _, appender := range appenders {
				appender.Null()
			}
			continue
		}
		readRecord(a.record, appenders)
	}
	columns := make([]*batch.Column, width)
	for i, appender := range appenders {
		columns[i] = appender.Column()
	}
	return columns
}

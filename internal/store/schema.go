package store

// migrations returns the steps from one version of the catalog to the next. Never change a step that
// was released: add one. docs/format/store.md explains the tables.
func migrations() []string { return []string{tables1, segments2, segments3} }

// An earlier program would take segments of format 2, or 3, for damaged ones.
const (
	segments2 = `SELECT 2`
	segments3 = `
ALTER TABLE epoch ADD COLUMN seen INTEGER NOT NULL DEFAULT 0; -- when it was last claimed or committed
UPDATE epoch SET seen = CAST(strftime('%s', 'now') AS INTEGER) * 1000000000;
CREATE TABLE asked (
	id    INTEGER PRIMARY KEY,
	kind  TEXT NOT NULL,
	value TEXT NOT NULL, -- what a report was asked that is gone
	UNIQUE (kind, value)
) STRICT;
`
)

const tables1 = `
CREATE TABLE meta (
	one     INTEGER PRIMARY KEY CHECK (one = 1),
	seq     INTEGER NOT NULL, -- newest commit
	changes INTEGER NOT NULL, -- grows with every change of what readers plan from
	token   INTEGER NOT NULL, -- of the newest holder of the writer lock
	horizon INTEGER NOT NULL, -- earlier commits are no longer readable
	floor   INTEGER NOT NULL  -- increments from before it may lack deletes
) STRICT;
INSERT INTO meta VALUES (1, 0, 0, 0, 0, 0);
CREATE TABLE dataset (
	id         INTEGER PRIMARY KEY,
	name       TEXT NOT NULL UNIQUE,
	definition TEXT NOT NULL
) STRICT;
CREATE TABLE instrument (
	id     INTEGER PRIMARY KEY,
	symbol TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE alias (
	symbol     TEXT NOT NULL,
	valid_from INTEGER NOT NULL,
	valid_to   INTEGER NOT NULL,
	instrument INTEGER NOT NULL REFERENCES instrument (id),
	PRIMARY KEY (symbol, valid_from)
) STRICT;
CREATE TABLE name (
	id   INTEGER PRIMARY KEY,
	text TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE segment (
	id        INTEGER PRIMARY KEY,
	dataset   INTEGER NOT NULL REFERENCES dataset (id),
	partition INTEGER NOT NULL,
	lo        INTEGER NOT NULL,
	hi        INTEGER NOT NULL,
	rows      INTEGER NOT NULL,
	deletes   INTEGER NOT NULL,
	first_id  INTEGER NOT NULL,
	last_id   INTEGER NOT NULL,
	from_date INTEGER NOT NULL,
	to_date   INTEGER NOT NULL,
	bytes     INTEGER NOT NULL,
	checksum  INTEGER NOT NULL,
	file      TEXT NOT NULL, -- '' when its bytes are in table blob
	retired   INTEGER NOT NULL DEFAULT 0, -- when a compaction replaced it
	until     INTEGER NOT NULL DEFAULT 0  -- hi of what replaced it
) STRICT;
CREATE INDEX segment_live ON segment (retired, dataset, partition, lo);
CREATE TABLE blob (
	segment INTEGER PRIMARY KEY REFERENCES segment (id),
	bytes   BLOB NOT NULL
) STRICT;
CREATE TABLE coverage (
	id      INTEGER PRIMARY KEY,
	dataset TEXT NOT NULL,
	freq    TEXT NOT NULL,
	source  TEXT NOT NULL,
	seq     INTEGER NOT NULL,
	bytes   BLOB NOT NULL
) STRICT;
CREATE TABLE journal (
	seq   INTEGER PRIMARY KEY,
	time  INTEGER NOT NULL,
	run   TEXT NOT NULL,
	epoch INTEGER NOT NULL
) STRICT;
CREATE TABLE change (
	seq     INTEGER NOT NULL REFERENCES journal (seq),
	dataset TEXT NOT NULL,
	new     INTEGER NOT NULL,
	changed INTEGER NOT NULL,
	deleted INTEGER NOT NULL,
	PRIMARY KEY (seq, dataset)
) STRICT, WITHOUT ROWID;
CREATE TABLE epoch (
	run   TEXT NOT NULL,
	node  TEXT NOT NULL,
	task  INTEGER NOT NULL,
	epoch INTEGER NOT NULL,
	fence INTEGER NOT NULL,
	PRIMARY KEY (run, node, task)
) STRICT, WITHOUT ROWID;
CREATE TABLE cursor (
	name    TEXT PRIMARY KEY,
	seq     INTEGER NOT NULL,
	expires INTEGER NOT NULL
) STRICT;
CREATE TABLE lease (
	id      INTEGER PRIMARY KEY,
	seq     INTEGER NOT NULL,
	expires INTEGER NOT NULL
) STRICT;
CREATE TABLE budget (
	provider TEXT NOT NULL,
	window   TEXT NOT NULL,
	used     INTEGER NOT NULL,
	PRIMARY KEY (provider, window)
) STRICT, WITHOUT ROWID;
CREATE TABLE ban (
	provider TEXT PRIMARY KEY,
	until    INTEGER NOT NULL
) STRICT;
CREATE TABLE report (
	id       INTEGER PRIMARY KEY,
	run      TEXT NOT NULL UNIQUE,
	kind     TEXT NOT NULL,
	status   TEXT NOT NULL,
	started  INTEGER NOT NULL,
	finished INTEGER NOT NULL,
	json     TEXT NOT NULL
) STRICT;
`

package catalog

import "fmt"

// migrations returns the steps from one version of the tables to the next. Never change a step
// that was released: add one.
func migrations() []string {
	return []string{`
CREATE TABLE workflows (
	name        TEXT PRIMARY KEY,
	document    TEXT NOT NULL,
	fingerprint TEXT NOT NULL,
	created     INTEGER NOT NULL
) STRICT;
CREATE TABLE runs (
	sequence     INTEGER PRIMARY KEY AUTOINCREMENT,
	id           TEXT NOT NULL UNIQUE,
	workflow     TEXT NOT NULL REFERENCES workflows (name),
	attempt      INTEGER NOT NULL,
	status       TEXT NOT NULL,
	started      INTEGER NOT NULL,
	finished     INTEGER NOT NULL DEFAULT 0,
	rows_in      INTEGER NOT NULL DEFAULT 0,
	rows_out     INTEGER NOT NULL DEFAULT 0,
	dead_letters INTEGER NOT NULL DEFAULT 0,
	error        TEXT NOT NULL DEFAULT '',
	report       BLOB
) STRICT;
CREATE INDEX runs_by_workflow ON runs (workflow, sequence);
CREATE TABLE checkpoints (
	run      TEXT NOT NULL REFERENCES runs (id),
	epoch    INTEGER NOT NULL,
	state    TEXT NOT NULL CHECK (state IN ('prepared', 'committed', 'dropped', 'kept')),
	name     TEXT NOT NULL DEFAULT '',
	manifest BLOB,
	created  INTEGER NOT NULL,
	PRIMARY KEY (run, epoch)
) STRICT;
CREATE TABLE leases (
	workflow TEXT PRIMARY KEY,
	token    INTEGER NOT NULL,
	owner    TEXT NOT NULL,
	host     TEXT NOT NULL,
	scope    TEXT NOT NULL,
	pid      INTEGER NOT NULL,
	started  TEXT NOT NULL,
	expires  INTEGER NOT NULL
) STRICT;
`}
}

// migrate brings the tables to this program's version, or refuses newer ones.
func migrate(s *session) error {
	steps := migrations()
	var version int
	if err := s.row(`PRAGMA user_version`, nil, &version); err != nil {
		return err
	}
	if version > len(steps) {
		return fmt.Errorf("its version is %d, this program knows %d: use a newer tapeline, "+
			"or another state folder", version, len(steps))
	}
	for i := version; i < len(steps); i++ {
		if err := s.script(steps[i]); err != nil {
			return fmt.Errorf("migrate to version %d: %w", i+1, err)
		}
	}
	return s.script(fmt.Sprintf(`PRAGMA user_version = %d`, len(steps)))
}

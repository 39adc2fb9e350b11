package postgres

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/sqlkit/sqltest"
)

// with returns the fixture's connection with a server setting of its own.
func (f *fixture) with(setting, value string) Connection {
	f.Helper()
	parsed, err := url.Parse(f.connection.ConnectionString)
	if err != nil {
		f.Fatal(err)
	}
	query := parsed.Query()
	query.Set(setting, value)
	parsed.RawQuery = query.Encode()
	return Connection{ConnectionString: parsed.String(), Schema: f.connection.Schema}
}

// TestLoginFaults: no message holds the password.
func TestLoginFaults(t *testing.T) {
	f := newFixture(t)
	role := f.connection.Schema + "_one"
	f.exec("DROP ROLE IF EXISTS " + role + "; CREATE ROLE " + role +
		" LOGIN PASSWORD 'hunter2' CONNECTION LIMIT 1")
	t.Cleanup(func() { _ = f.run(context.Background(), "DROP ROLE "+role) })
	parsed, err := url.Parse(f.connection.ConnectionString)
	if err != nil {
		t.Fatal(err)
	}
	login := func(user, password, database string) (*session, error) {
		to := *parsed
		to.User = url.UserPassword(user, password)
		if database != "" {
			to.Path = database
		}
		return connect(t.Context(), Connection{ConnectionString: to.String()}, "n")
	}
	first, err := login(role, "hunter2", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what                     string
		user, password, database string
		class                    fault.Class
		words                    string
	}{
		{"too many connections", role, "hunter2", "", fault.Transient, "connections"},
		{"wrong password", role, "hunter2 wrong", "", fault.Auth, "pg_hba.conf"},
		{"unknown user", "no_such_user", "hunter2", "", fault.Auth, "check user"},
		{"unknown database", parsed.User.Username(), "", "nowhere", fault.Permanent, "create the database"},
	} {
		password := c.password
		if password == "" {
			password, _ = parsed.User.Password()
		}
		_, err := login(c.user, password, c.database)
		sqltest.ExpectFault(t, c.what, err, c.class, c.words)
		if err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), password)) {
			t.Errorf("%s: the password is printed: %v", c.what, err)
		}
	}
	first.close()
}

// TestServerFaults: what the server raises while rows are written, by the condition's own code. The
// epoch's other rows stay.
func TestServerFaults(t *testing.T) {
	f := newFixture(t)
	f.exec(`CREATE TABLE people (id int8, name text);
		CREATE FUNCTION raise() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF NEW.name LIKE 'E%' THEN RAISE EXCEPTION 'raised' USING ERRCODE = substr(NEW.name, 2); END IF;
		RETURN NEW; END $$;
		CREATE TRIGGER raise BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION raise()`)
	s := f.openSink(f.sinkConfig("people"), connector.Task{})
	f.write(s, sqltest.People(t, 0, 10, "a"))
	for code, want := range map[string]struct {
		class fault.Class
		words string
	}{
		"40001": {fault.Transient, "40001"},
		"40P01": {fault.Transient, "40P01"},
		"53100": {fault.Permanent, "disk is full"},
		"53200": {fault.Transient, "memory"},
		"42501": {fault.Auth, "grant"},
		"22012": {fault.Data, "raised"},
		"P0001": {fault.Permanent, "raised"},
	} {
		err := s.Write(t.Context(), connector.Chunk{Batch: sqltest.People(t, 10, 20, "E"+code)})
		sqltest.ExpectFault(t, code, err, want.class, want.words, "people")
		if errors.Is(err, connector.ErrEpochLost) {
			t.Errorf("%s: the epoch was lost", code)
		}
	}
	f.commit(s, 1)
	f.expect(countPeople, "10|0|9|a|a")
}

// TestTimeouts: a lock that does not come and a statement that does not end are told apart.
func TestTimeouts(t *testing.T) {
	f := newFixture(t)
	f.exec("CREATE TABLE people (id int8, name text); " +
		"CREATE TABLE slow (id int8, name text CHECK (pg_sleep(600) IS NOT NULL))")
	config := f.sinkConfig("people")
	config.Connection = f.with("lock_timeout", "50")
	s := f.openSink(config, connector.Task{})
	f.exec("BEGIN; LOCK TABLE people IN SHARE MODE")
	chunk := connector.Chunk{Batch: sqltest.People(t, 0, 10, "a")}
	sqltest.ExpectFault(t, "lock", s.Write(t.Context(), chunk), fault.Transient, "lock_timeout", "people")
	f.exec("ROLLBACK")
	f.write(s, chunk.Batch)
	f.commit(s, 1)
	f.expect(countPeople, "10|0|9|a|a")

	config = f.sinkConfig("slow")
	config.Connection = f.with("statement_timeout", "50")
	s = f.openSink(config, connector.Task{Node: "slow"})
	sqltest.ExpectFault(t, "statement", s.Write(t.Context(), chunk), fault.Transient, "statement_timeout", "slow")

	plain := f.openSink(f.sinkConfig("people"), connector.Task{Node: "plain"})
	f.write(plain, chunk.Batch)
	rows, err := plain.data.rows(t.Context(), "SHOW lock_timeout")
	if err != nil || string(rows[0][0]) != "1min" {
		t.Errorf("a data transaction waits %s for locks: %v", rows[0][0], err)
	}
}

// TestInfiniteMoments: a source goes on from a moment that is none of ours.
func TestInfiniteMoments(t *testing.T) {
	f := newFixture(t)
	f.exec(`CREATE TABLE log (id int8 PRIMARY KEY, at timestamptz, day date);
		INSERT INTO log VALUES (1, '-infinity', '-infinity'), (2, '2024-01-01', '2024-01-01'),
		(3, 'infinity', 'infinity'), (4, 'infinity', 'infinity')`)
	for _, column := range []string{"at", "day"} {
		config := f.sourceConfig("log")
		config.Columns, config.Incremental.Column = []string{"id"}, column
		all, end := f.readAll(f.open(config, 1, nil))
		for i, chunk := range all {
			rest, _ := f.readAll(f.open(config, 10, chunk.Position))
			if got := len(sqltest.IDs(rest)); got != 3-i {
				t.Errorf("%s: after %s: %d rows", column, chunk.Position, got)
			}
		}
		f.exec("INSERT INTO log VALUES (0, 'infinity', 'infinity')")
		if rest, _ := f.readAll(f.open(config, 10, end)); len(sqltest.IDs(rest)) != 1 {
			t.Errorf("%s: a later row: read %v", column, sqltest.IDs(rest))
		}
		f.exec("DELETE FROM log WHERE id = 0")
	}
}

// TestUnreachable: what all attempts met is said once, with the remedy, and with no letter of it taken
// for the password.
func TestUnreachable(t *testing.T) {
	const remedy = " (no server listens there: start it or correct host and port)"
	for address, want := range map[string]string{
		"postgres://u:tc@127.0.0.1:1/d": "connect to 127.0.0.1:1: dial tcp 127.0.0.1:1: connect: " +
			"connection refused" + remedy,
		"host=127.0.0.1 port=1 user=u password='t c'": "connect to 127.0.0.1:1: dial tcp 127.0.0.1:1: " +
			"connect: connection refused" + remedy,
		"postgres://u:t@127.0.0.1:1,127.0.0.1:2/d": "connect to 127.0.0.1:1: dial tcp 127.0.0.1:1: " +
			"connect: connection refused; dial tcp 127.0.0.1:2: connect: connection refused" + remedy,
	} {
		_, err := connect(t.Context(), Connection{ConnectionString: address}, "n")
		if err == nil || err.Error() != want || fault.ClassOf(err) != fault.Transient {
			t.Errorf("%s: class %s, got %v, want %q", address, fault.ClassOf(err), err, want)
		}
	}
}

// TestPasswordOfAllSigns: both spellings of an address given to copy log in with it.
func TestPasswordOfAllSigns(t *testing.T) {
	f := newFixture(t)
	const password = `a b'"?table=x/#%@:&\c`
	role := f.connection.Schema + "_signs"
	f.exec("DROP ROLE IF EXISTS " + role + "; CREATE ROLE " + role + " LOGIN PASSWORD '" + strings.ReplaceAll(password, "'", "''") + "'")
	t.Cleanup(func() { _ = f.run(context.Background(), "DROP ROLE "+role) })
	to, err := url.Parse(f.connection.ConnectionString)
	if err != nil {
		t.Fatal(err)
	}
	to.User = url.UserPassword(role, password)
	quoted := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(password)
	for _, address := range []string{
		to.String() + "&table=t",
		"host=" + to.Hostname() + " port=" + to.Port() + " sslmode=disable dbname=" + to.Path[1:] +
			" user=" + role + " password='" + quoted + "'?table=t",
	} {
		config, err := fromURL(address)
		if err != nil || config["table"] != "t" {
			t.Fatalf("%s: %v, %v", address, config, err)
		}
		s, err := connect(t.Context(), Connection{ConnectionString: config["connection_string"].(string)}, "n")
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		s.close()
	}
}

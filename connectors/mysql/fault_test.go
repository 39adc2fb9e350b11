package mysql

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	engine "github.com/go-sql-driver/mysql"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/sqlkit"
	"github.com/tapeline/tapeline/internal/sqlkit/sqltest"
)

// TestLoginFaults: no message holds the password.
func TestLoginFaults(t *testing.T) {
	f := newFixture(t)
	user := f.connection.Schema + "_u"
	f.Exec("DROP USER IF EXISTS "+user, "CREATE USER "+user+" IDENTIFIED BY 'hunter2' "+
		"WITH MAX_USER_CONNECTIONS 1", "GRANT SELECT ON "+f.connection.Schema+".* TO "+user)
	t.Cleanup(func() { _ = f.Do("DROP USER IF EXISTS " + user) })
	parsed, err := engine.ParseDSN(f.connection.ConnectionString)
	if err != nil {
		t.Fatal(err)
	}
	login := func(password, schema string) (*sqlkit.Session, error) {
		to := parsed.Clone()
		to.User, to.Passwd, to.DBName = user, password, schema
		return connect(t.Context(), Connection{ConnectionString: to.FormatDSN()})
	}
	first, err := login("hunter2", f.connection.Schema)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, password, schema string
		class                  fault.Class
		words                  string
	}{
		{"too many connections", "hunter2", f.connection.Schema, fault.Transient, "connections"},
		{"wrong password", "hunter2 wrong", f.connection.Schema, fault.Auth, "check user"},
	} {
		_, err := login(c.password, c.schema)
		sqltest.ExpectFault(t, c.what, err, c.class, c.words)
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the password is printed: %v", c.what, err)
		}
	}
	_ = first.Close()
	// The server counts a closed connection for a while.
	f.Exec("ALTER USER " + user + " WITH MAX_USER_CONNECTIONS 9")
	_, err = login("hunter2", "mysql")
	sqltest.ExpectFault(t, "foreign database", err, fault.Auth, "grants")
	refused := parsed.Clone()
	refused.Addr = "127.0.0.1:1"
	_, err = connect(t.Context(), Connection{ConnectionString: refused.FormatDSN()})
	sqltest.ExpectFault(t, "no server", err, fault.Transient, "127.0.0.1:1")
}

// TestServerFaults: what the server raises while rows are written, by the condition's own number. The
// epoch's other rows stay.
func TestServerFaults(t *testing.T) {
	f := newFixture(t)
	f.Exec("CREATE TABLE people (id BIGINT, name VARCHAR(20))",
		"CREATE TRIGGER raise BEFORE INSERT ON people FOR EACH ROW BEGIN DECLARE n INT; "+
			"IF NEW.name LIKE 'E%' THEN SET n = CAST(SUBSTR(NEW.name, 2) AS INT); "+
			"SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = n, MESSAGE_TEXT = 'raised'; END IF; END")
	s := f.Sink(sqlkit.SinkConfig{Table: "people"}, connector.Task{})
	s.Put("", sqltest.People(t, 0, 10, "a"))
	for number, want := range map[int]struct {
		class fault.Class
		words string
	}{
		1213: {fault.Transient, "raised"},
		1021: {fault.Permanent, "disk is full"},
		1114: {fault.Permanent, "disk is full"},
		1142: {fault.Auth, "grants"},
		1366: {fault.Data, "raised"},
		1969: {fault.Transient, "time limit"},
		9999: {fault.Permanent, "raised"},
	} {
		err := s.Try("", sqltest.People(t, 10, 20, fmt.Sprint("E", number)))
		sqltest.ExpectFault(t, strconv.Itoa(number), err, want.class, want.words, "people")
		if errors.Is(err, connector.ErrEpochLost) {
			t.Errorf("%d: the epoch was lost", number)
		}
	}
	s.Checkpoint(1)
	f.Expect("SELECT count(*), max(name) FROM people", "10|a")
}

// TestLockWait: a lock that does not come is a passing failure, and the epoch's other rows stay. A
// deadlock, by which the server rolls the whole transaction back, loses them, and says so.
func TestLockWait(t *testing.T) {
	f := newFixture(t)
	f.Exec("CREATE TABLE people (id BIGINT PRIMARY KEY, name VARCHAR(20))",
		"INSERT INTO people VALUES (1, 'old'), (2, 'old')")
	config := sqlkit.SinkConfig{Table: "people", Key: []string{"id"}}
	s := f.Sink(config, connector.Task{})
	s.Put("", sqltest.People(t, 1, 2, "new"))
	data := s.Decider.(*sqlkit.Sink).Session()
	if _, err := data.Exec(t.Context(), "SET innodb_lock_wait_timeout = 1"); err != nil {
		t.Fatal(err)
	}
	f.Exec("START TRANSACTION", "UPDATE people SET name = 'other' WHERE id = 2")
	err := s.Try("", sqltest.People(t, 2, 3, "new"))
	sqltest.ExpectFault(t, "lock", err, fault.Transient, "innodb_lock_wait_timeout", "people")
	if errors.Is(err, connector.ErrEpochLost) {
		t.Errorf("the epoch was lost: %v", err)
	}

	// The other transaction waits for row 1, and has changed more rows than the sink.
	if _, err := data.Exec(t.Context(), "SET innodb_lock_wait_timeout = 50"); err != nil {
		t.Fatal(err)
	}
	f.Exec("INSERT INTO people SELECT seq, 'more' FROM seq_10_to_500")
	done := make(chan error, 1)
	go func() { done <- f.Do("UPDATE people SET name = 'other' WHERE id = 1") }()
	err = s.Try("", sqltest.People(t, 2, 3, "new"))
	if other := <-done; other != nil {
		t.Fatalf("the other transaction was the victim: %v", other)
	}
	if !errors.Is(err, connector.ErrEpochLost) {
		t.Errorf("deadlock: %v", err)
	}
	sqltest.ExpectFault(t, "deadlock", err, fault.Transient, "people")
	f.Exec("COMMIT")
	s.Put("", sqltest.People(t, 1, 3, "again"))
	s.Checkpoint(1)
	f.Expect("SELECT id, name FROM people WHERE id < 10 ORDER BY id", "1|again", "2|again")
}

// TestUnreachable: the remedy is named, and no letter of the text is taken for the password.
func TestUnreachable(t *testing.T) {
	_, err := connect(t.Context(), Connection{ConnectionString: "mysql://u:t@127.0.0.1:1/d"})
	const want = "connect to 127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused " +
		"(no server listens there: start it or correct host and port)"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
}

package postgres

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/connector"
)

const everyType = `CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN positive AS integer CHECK (value > 0);
CREATE TABLE every (id integer PRIMARY KEY, b boolean, i2 smallint, i4 integer, i8 bigint, f4 real,
 f8 double precision, n numeric(38,10), money_like numeric(12,2), whole numeric(5,-2), free numeric,
 t text, v varchar(20), c char(5), nm name, by bytea, d date, tm time, ts timestamp, tz timestamptz,
 u uuid, j json, jb jsonb, iv interval, m mood, p positive, ip inet, o oid, x xml, r int4range,
 ai integer[], at text[], an numeric(10,3)[], ab boolean[], az timestamptz[], au uuid[], ad date[],
 "Odd ""name" text);
INSERT INTO every (id) VALUES (1);
INSERT INTO every VALUES (2, true, -32768, -2147483648, -9223372036854775808, '-3.4028235e38',
 '-1.7976931348623157e308', '-9999999999999999999999999999.9999999999', -9999999999.99, -1234500,
 -0.0000000001, '', '', '', '', '', '4713-01-01 BC', '00:00', '0001-01-01', '0001-01-01 00:00+00',
 '00000000-0000-0000-0000-000000000000', 'null', 'null', '-1 year -2 days', 'sad', 1, '::1', 0,
 '<a/>', 'empty', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '');
INSERT INTO every VALUES (3, false, 32767, 2147483647, 9223372036854775807, '3.4028235e38', 'NaN',
 '9999999999999999999999999999.9999999999', 9999999999.99, 1234500, 1234567890123456789012345678,
 E'tab\t nl\n back\\ quote" \u00e9\u4e2d\U0001F600', 'twenty characters!!!', 'abc', 'nm',
 '\x00ff00', '9999-12-31', '24:00', '9999-12-31 23:59:59.999999', '9999-12-31 23:59:59.999999+00',
 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a": [1, 2.50, "x"],  "a": 1}', '{"a": [1, 2.50]}',
 '3 mons 4 days 05:06:07.000008', 'happy', 2147483647, '10.0.0.0/8', 4294967295, '<b>t</b>',
 '[1,5)', '{1,NULL,-3}', '{"a,b",NULL,"q\"\\",""}', '{1.500,NULL,-9999999.999}',
 '{t,NULL,f}', '{"2024-02-29 12:00:00.5+00"}', '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}',
 '{2000-01-01,1999-12-31}', 'x');
INSERT INTO every (id, f4, f8, n, free, money_like) VALUES (4, 'Infinity', '-Infinity', 0, 100000,
 0.05), (5, '-0', 1e-300, 0.0000000001, 12345678.9, 10), (6, 'NaN', 0.1, 1e27, 1e-10, 123456.7)`

// TestRoundTrip copies a table of every type into a table of the same types and into one the sink
// creates, and lets the server compare.
func TestRoundTrip(t *testing.T) {
	f := newFixture(t)
	f.exec(everyType)
	f.exec("CREATE TABLE twin (LIKE every INCLUDING ALL)")
	// Without the types that travel as text, COPY goes by its binary form.
	f.exec(`CREATE TABLE "binary" (LIKE every INCLUDING ALL); ALTER TABLE "binary"
		ALTER iv TYPE text, ALTER ip TYPE text, ALTER x TYPE text, ALTER r TYPE text`)
	for _, table := range []string{"twin", `"binary"`, "created"} {
		s := f.open(f.sourceConfig("every"), 2, nil)
		sink := f.openSink(f.sinkConfig(table), connector.Task{Run: table})
		chunks, _ := f.readAll(s)
		for _, chunk := range chunks {
			if len(chunk.Rejected) > 0 {
				t.Fatalf("rejected: %+v", chunk.Rejected)
			}
			f.write(sink, chunk.Batch)
		}
		f.commit(sink, 1)
	}
	columns := f.texts("SELECT attname, quote_ident(attname) FROM pg_attribute WHERE attrelid = 'every'::regclass AND attnum > 0")
	for _, pair := range columns {
		name, quoted, _ := strings.Cut(pair, "|")
		text := quoted + "::text"
		if name == "free" { // reading gives it the scale of the numeric setting
			text = "free::numeric(38,10)::text"
		}
		want := f.texts("SELECT " + text + " FROM every ORDER BY id")
		if diff := cmp.Diff(want, f.texts("SELECT "+quoted+"::text FROM twin ORDER BY id")); diff != "" {
			t.Errorf("twin, column %s: %s", name, diff)
		}
		for _, table := range []string{`"binary"`, "created"} {
			if name == "j" && table == "created" { // created as jsonb
				want = f.texts("SELECT j::jsonb::text FROM every ORDER BY id")
			}
			got := f.texts("SELECT " + quoted + "::text FROM " + table + " ORDER BY id")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, column %s: %s", table, name, diff)
			}
		}
	}
}

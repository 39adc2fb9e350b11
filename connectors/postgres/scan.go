package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

// relation is one heap: a table, or one partition of it, or a range of its blocks.
type relation struct {
	OID  uint32 `json:"oid"`
	Name string `json:"name"` // quoted
	From uint32 `json:"from,omitempty"`
	To   uint32 `json:"to,omitempty"` // first block after the range; 0: to the end
}

// plan is what a source reads: columns, where from, and in which order.
type plan struct {
	columns   []column
	schema    *batch.Schema
	order     order
	from      string     // table or subquery
	relations []relation // physical
	sort      []column   // sorted: incremental column, then tie-breakers
	ties      bool       // sorted: the last of sort is unique, so no row needs counting
	declared  map[string]declaration
	pushed    string // condition of the filter behind the source
}

// sizePerBlock is PostgreSQL's page size as it is nearly always built.
const sizePerBlock = 8192

// makePlan asks the server for the columns and chooses the order.
func makePlan(ctx context.Context, s *session, c *sourceConfig) (*plan, error) {
	p := &plan{order: counted, from: "(" + strings.TrimRight(c.Query, "; \n\t") + ")"}
	notNull := map[string]bool{}
	var table tableInfo
	if c.Table != "" {
		name, err := sqlkit.ParseName(c.Table)
		if err != nil {
			return nil, &connector.Error{Op: "read table", Class: connector.Permanent, Err: err}
		}
		p.from = sqlkit.Postgres.QuoteName(name)
		if table, err = describe(ctx, s, name); err != nil {
			return nil, err
		}
		notNull, p.declared = table.notNull, table.declared
		if table.relations != nil {
			p.order, p.relations = physical, table.relations
		}
	}
	if err := p.readColumns(ctx, s, c, notNull); err != nil {
		return nil, err
	}
	if c.Incremental.Column != "" {
		if err := p.sortBy(ctx, s, c, table); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// readColumns learns the result columns without running the query.
func (p *plan) readColumns(
	ctx context.Context, s *session, c *sourceConfig, notNull map[string]bool,
) error {
	list := "*"
	if len(c.Columns) > 0 {
		list = sqlkit.Postgres.QuoteList(c.Columns)
	}
	fields, err := s.fields(ctx, "SELECT "+list+" FROM "+p.from+" AS s")
	if err != nil {
		return classify("read the columns of "+p.from, err)
	}
	numeric, err := parseNumeric(c.Numeric)
	if err != nil {
		return &connector.Error{Op: "read config", Class: connector.Permanent, Err: err}
	}
	schema := make([]batch.Field, 0, len(fields))
	for _, field := range fields {
		column := columnOf(field, numeric)
		column.nullable = !notNull[column.name] || c.NonFinite == "null" && column.mayBeInfinite()
		p.columns = append(p.columns, column)
		schema = append(schema, batch.Field{
			Name: column.name, Type: column.typ, Nullable: column.nullable,
		})
	}
	p.schema = batch.NewSchema(schema...)
	return nil
}

func (s *session) fields(ctx context.Context, sql string) ([]pgconn.FieldDescription, error) {
	statement, err := s.conn.Prepare(ctx, "", sql, nil)
	if err != nil {
		return nil, err
	}
	return statement.Fields, nil
}

// sortBy orders the scan by the incremental column, and by the primary key or the physical place
// among equal values.
func (p *plan) sortBy(
	ctx context.Context, s *session, c *sourceConfig, table tableInfo,
) error {
	numeric, err := parseNumeric("decimal(38,10)")
	if err != nil {
		return err
	}
	names := append([]string{c.Incremental.Column}, table.key...)
	if len(table.key) == 1 && table.key[0] == c.Incremental.Column {
		names = names[:1]
	}
	fields, err := s.fields(ctx, "SELECT "+sqlkit.Postgres.QuoteList(names)+" FROM "+p.from+" AS s")
	if err != nil {
		return classify("read incremental.column "+c.Incremental.Column, err)
	}
	p.sort = nil
	for _, field := range fields {
		column := columnOf(field, numeric)
		if column.form == formNumeric || column.form == formList || column.form == formJSONB {
			// The text of any numeric is exact, whatever its scale.
			column.codec = codec{form: formText, typ: batch.Of(batch.String), oid: field.DataTypeOID}
			column.expression = sqlkit.Postgres.Quote(field.Name) + "::text"
		}
		p.sort = append(p.sort, column)
	}
	p.order, p.ties = sorted, len(table.key) > 0
	if !p.ties && len(table.relations) == 1 && table.heap {
		p.ties = true
		p.sort = append(p.sort, column{
			name: "ctid", expression: "ctid::text",
			codec: codec{form: formText, typ: batch.Of(batch.String), oid: oidTID},
		})
	}
	return nil
}

// selection returns the COPY statement for rows after at; relation applies to physical scans.
func (p *plan) selection(c *sourceConfig, at position, r relation) string {
	var list, conditions, ordering []string
	for _, column := range p.columns {
		list = append(list, column.expression)
	}
	from := p.from
	switch p.order {
	case physical:
		list = append(list, "ctid")
		from = "ONLY " + r.Name
		conditions = append(conditions, r.conditions(at)...)
	case sorted:
		for _, column := range p.sort {
			list = append(list, column.expression)
			ordering = append(ordering, column.ordering())
		}
		conditions = append(conditions, p.after(c, at)...)
	}
	if p.order == sorted && !p.ties {
		ordering = append(ordering, p.everyColumn()...)
	}
	if c.Where != "" {
		conditions = append(conditions, "("+c.Where+")")
	}
	if p.pushed != "" {
		conditions = append(conditions, p.pushed)
	}
	sql := "SELECT " + strings.Join(list, ", ") + " FROM " + from + " AS s"
	if len(conditions) > 0 {
		sql += " WHERE " + strings.Join(conditions, " AND ")
	}
	if len(ordering) > 0 {
		sql += " ORDER BY " + strings.Join(ordering, ", ")
	}
	if at.Skip > 0 {
		sql += " OFFSET " + strconv.FormatInt(at.Skip, 10)
	}
	return "COPY (" + sql + ") TO STDOUT (FORMAT binary)"
}

// everyColumn orders rows that are counted, so that only equal ones may change places. The json
// type has no order.
func (p *plan) everyColumn() []string {
	var out []string
	for i, column := range p.columns {
		if column.oid != oidJSON && (column.element == nil || column.element.oid != oidJSON) {
			out = append(out, strconv.Itoa(i+1))
		}
	}
	return out
}

// ordering is the column itself, qualified: a bare name would mean the select list's text form.
func (c *column) ordering() string { return "s." + sqlkit.Postgres.Quote(c.name) }

func (r relation) conditions(at position) []string {
	var out []string
	switch {
	case at.Relation == r.OID && (at.Block > 0 || at.Offset > 0):
		out = append(out, fmt.Sprintf("s.ctid > '(%d,%d)'::tid", at.Block, at.Offset))
	case r.From > 0:
		out = append(out, fmt.Sprintf("s.ctid >= '(%d,0)'::tid", r.From))
	}
	if r.To > 0 {
		out = append(out, fmt.Sprintf("s.ctid < '(%d,0)'::tid", r.To))
	}
	return out
}

// after returns the conditions of a sorted scan.
func (p *plan) after(c *sourceConfig, at position) []string {
	first := p.sort[0].ordering()
	if len(at.Values) == 0 {
		if c.Incremental.InitialValue == nil {
			return []string{first + " IS NOT NULL"}
		}
		value := &p.sort[0]
		initial := sqlkit.InitialText(c.Incremental.InitialValue, value.oid != oidTimestamp)
		return []string{first + " > " + value.constant(initial)}
	}
	if !p.ties {
		return []string{first + " >= " + p.sort[0].constant(at.Values[0])}
	}
	columns, values := make([]string, len(p.sort)), make([]string, len(p.sort))
	for i := range p.sort {
		columns[i] = p.sort[i].ordering()
		values[i] = p.sort[i].constant(at.Values[i])
	}
	ties := sqlkit.Ties{Keys: make([][]string, len(at.Keys)), Ordered: at.Ordered}
	for i, key := range at.Keys {
		ties.Keys[i] = make([]string, len(key))
		for k, text := range key {
			ties.Keys[i][k] = p.sort[k+1].constant(text)
		}
	}
	return []string{sqlkit.Postgres.After(columns, values, ties)}
}

// constant leaves the type of other than the known types to the comparison's other side.
func (c *column) constant(text string) string {
	literal := sqlkit.Postgres.Literal(text)
	if name := regtype(c.oid); name != "" {
		return literal + "::" + name
	}
	return literal
}

// tableInfo is what the catalog says of a table.
type tableInfo struct {
	notNull   map[string]bool
	key       []string   // primary key
	relations []relation // heaps; nil for views and foreign tables
	heap      bool       // a plain table without partitions
	declared  map[string]declaration
}

// declaration is a column's own type, which for a domain is not that of the rows.
type declaration struct {
	oid      uint32
	modifier int32
}

func describe(ctx context.Context, s *session, name sqlkit.Name) (tableInfo, error) {
	info := tableInfo{notNull: map[string]bool{}, declared: map[string]declaration{}}
	quoted := sqlkit.Postgres.QuoteName(name)
	rows, err := s.rows(ctx, `SELECT a.attname, a.attnotnull,
		COALESCE(array_position(i.indkey::int2[], a.attnum), -1), a.atttypid, a.atttypmod
		FROM pg_attribute a LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
		WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 3`, quoted)
	if err != nil {
		return info, classify("describe table "+name.String(), err)
	}
	for _, row := range rows {
		info.notNull[string(row[0])] = string(row[1]) == "t"
		if string(row[2]) != "-1" {
			info.key = append(info.key, string(row[0]))
		}
		oid, _ := strconv.ParseUint(string(row[3]), 10, 32)
		modifier, _ := strconv.ParseInt(string(row[4]), 10, 32)
		info.declared[string(row[0])] = declaration{uint32(oid), int32(modifier)}
	}
	rows, err = s.rows(ctx, `WITH RECURSIVE tree(oid) AS (SELECT $1::regclass::oid
		UNION ALL SELECT i.inhrelid FROM pg_inherits i JOIN tree ON i.inhparent = tree.oid)
		SELECT c.oid, c.relkind, c.oid::regclass FROM tree JOIN pg_class c USING (oid) ORDER BY c.oid`,
		quoted)
	if err != nil {
		return info, classify("describe table "+name.String(), err)
	}
	info.heap = len(rows) == 1
	for _, row := range rows {
		oid, _ := strconv.ParseUint(string(row[0]), 10, 32)
		switch row[1][0] {
		case 'r', 'm':
			info.relations = append(info.relations,
				relation{OID: uint32(oid), Name: string(row[2])})
		case 'p':
		default:
			info.relations = nil
			return info, nil
		}
	}
	return info, nil
}

// divide cuts relations into at most limit groups of about equal size.
func divideRelations(relations []relation, blocks []uint32, limit int) [][]relation {
	const least = 512 // blocks: 4 MiB are not worth a connection of their own
	total := uint64(0)
	for _, n := range blocks {
		total += uint64(n)
	}
	parts := int(min(uint64(max(limit, 1)), max(total/least, 1)))
	goal := (total + uint64(parts) - 1) / uint64(parts)
	var groups [][]relation
	var group []relation
	room := goal
	for i, r := range relations {
		from := uint32(0)
		for uint64(blocks[i]-from) > room && len(groups) < parts-1 {
			to := from + uint32(room)
			if to > from {
				group = append(group, relation{OID: r.OID, Name: r.Name, From: from, To: to})
			}
			groups, group, room, from = append(groups, group), nil, goal, to
		}
		// The last range is open: rows may have been added since the count.
		group = append(group, relation{OID: r.OID, Name: r.Name, From: from})
		room -= min(room, uint64(blocks[i]-from))
	}
	return append(groups, group)
}

func (s *session) blocks(ctx context.Context, relations []relation) ([]uint32, error) {
	out := make([]uint32, len(relations))
	for i, r := range relations {
		size, _, err := s.Int(ctx, "SELECT pg_relation_size($1::oid)", r.OID)
		if err != nil {
			return nil, classify("measure "+r.Name, err)
		}
		out[i] = uint32(size / sizePerBlock)
	}
	return out, nil
}

func encodeRelations(relations []relation) []byte {
	text, _ := json.Marshal(relations) // plain members always marshal
	return text
}

package ipc

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Bounds of a message's metadata.
const (
	maxDepth      = 64      // of nested fields
	maxTables     = 100_000 // visited in one message; shared ones count each time
	maxArrayItems = 1 << 36
)

// Slots of the tables in Message.fbs, Schema.fbs and File.fbs.
const (
	messageHeaderType, messageHeader, messageBodyLength, messageMetadata = 1, 2, 3, 4
	schemaFields, schemaMetadata, schemaFeatures                         = 1, 2, 3
	fieldName, fieldType, fieldDictionary, fieldChildren, fieldMetadata  = 0, 3, 4, 5, 6
	dictionaryIndexType                                                  = 1
	unionTypeIDs                                                         = 1
	batchNodes, batchBuffers, batchCompression, batchVariadic            = 1, 2, 3, 4
	dictionaryData                                                       = 1
	footerSchema, footerDictionaries, footerRecords, footerMetadata      = 1, 2, 3, 4
	pairKey, pairValue                                                   = 0, 1

	headerSchema, headerDictionary, headerRecord = 1, 2, 3
	blockBytes                                   = 24
	nodeBytes                                    = 16
)

// checker walks a FlatBuffer; the first problem stays in err and ends the walk.
type checker struct {
	data   []byte
	tables int
	err    error
}

func (c *checker) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("message metadata: "+format, args...)
	}
}

// has reports whether n bytes lie at a position.
func (c *checker) has(at, n int) bool {
	if c.err == nil && (at < 0 || n < 0 || at > len(c.data)-n) {
		c.fail("%d bytes at %d of %d", n, at, len(c.data))
	}
	return c.err == nil
}

func (c *checker) uint16(at int) int {
	if !c.has(at, 2) {
		return 0
	}
	return int(binary.LittleEndian.Uint16(c.data[at:]))
}

func (c *checker) uint32(at int) int {
	if !c.has(at, 4) {
		return 0
	}
	return int(binary.LittleEndian.Uint32(c.data[at:]))
}

func (c *checker) int64(at int) int64 {
	if !c.has(at, 8) {
		return 0
	}
	return int64(binary.LittleEndian.Uint64(c.data[at:]))
}

// table is a FlatBuffers table; ok false means absent or damaged.
type table struct {
	at, vtable, size int // size of the vtable
	ok               bool
}

func (c *checker) table(at int) table {
	if c.tables++; c.tables > maxTables {
		c.fail("more than %d tables", maxTables)
	}
	vtable := at - int(int32(c.uint32(at)))
	size := c.uint16(vtable)
	if c.err == nil && size < 4 {
		c.fail("a table of %d bytes", size)
	}
	if !c.has(vtable, size) || !c.has(at, c.uint16(vtable+2)) {
		return table{}
	}
	return table{at: at, vtable: vtable, size: size, ok: true}
}

// slot returns where a table's field lies, 0 when it is absent. Readers take a field whose entry
// begins within the vtable, even where the vtable's size is odd.
func (c *checker) slot(t table, slot int) int {
	entry := 4 + 2*slot
	if !t.ok || entry >= t.size {
		return 0
	}
	offset := c.uint16(t.vtable + entry)
	if offset == 0 || c.err != nil {
		return 0
	}
	return t.at + offset
}

// indirect returns where a field that is stored as an offset lies.
func (c *checker) indirect(t table, slot int) int {
	at := c.slot(t, slot)
	if at == 0 {
		return 0
	}
	target := at + c.uint32(at)
	if !c.has(target, 4) {
		return 0
	}
	return target
}

func (c *checker) child(t table, slot int) table {
	at := c.indirect(t, slot)
	if at == 0 {
		return table{}
	}
	return c.table(at)
}

// vector checks a vector and returns its first element and length.
func (c *checker) vector(t table, slot, elementBytes int) (first, n int) {
	at := c.indirect(t, slot)
	if at == 0 {
		return 0, 0
	}
	n = c.uint32(at)
	if !c.has(at+4, n*elementBytes) {
		return 0, 0
	}
	return at + 4, n
}

// each calls visit for the tables of a vector.
func (c *checker) each(t table, slot int, visit func(t table)) {
	first, n := c.vector(t, slot, 4)
	for i := 0; i < n && c.err == nil; i++ {
		at := first + 4*i
		visit(c.table(at + c.uint32(at)))
	}
}

func (c *checker) pairs(t table, slot int) {
	c.each(t, slot, func(pair table) {
		c.vector(pair, pairKey, 1)
		c.vector(pair, pairValue, 1)
	})
}

func (c *checker) schema(t table) {
	c.each(t, schemaFields, func(f table) { c.field(f, 0) })
	c.pairs(t, schemaMetadata)
	c.vector(t, schemaFeatures, 8)
}

func (c *checker) field(t table, depth int) {
	if depth > maxDepth {
		c.fail("fields nested deeper than %d", maxDepth)
		return
	}
	c.vector(t, fieldName, 1)
	// A union's type is the only one with a vector; elsewhere the slot holds a number or a string.
	if typ := c.child(t, fieldType); typ.ok && c.isUnion(t) {
		c.vector(typ, unionTypeIDs, 4)
	}
	if dictionary := c.child(t, fieldDictionary); dictionary.ok {
		c.child(dictionary, dictionaryIndexType)
	}
	c.pairs(t, fieldMetadata)
	c.each(t, fieldChildren, func(f table) { c.field(f, depth+1) })
}

func (c *checker) isUnion(t table) bool {
	const typeSlot, union = 2, 14
	at := c.slot(t, typeSlot)
	return at > 0 && c.has(at, 1) && c.data[at] == union
}

func (c *checker) record(t table) {
	first, n := c.vector(t, batchNodes, nodeBytes)
	for i := range n {
		if length := c.int64(first + nodeBytes*i); length < 0 || length > maxArrayItems {
			c.fail("an array of %d items", length)
		}
	}
	c.vector(t, batchBuffers, 16)
	c.vector(t, batchVariadic, 8)
	c.child(t, batchCompression)
}

// CheckMessage checks the metadata of one message and returns the length of its body.
func CheckMessage(metadata []byte) (bodyLength int64, err error) {
	c := &checker{data: metadata}
	t := c.table(c.uint32(0))
	if at := c.slot(t, messageBodyLength); at > 0 {
		bodyLength = c.int64(at)
	}
	if c.err == nil && bodyLength < 0 {
		c.fail("a body of %d bytes", bodyLength)
	}
	c.pairs(t, messageMetadata)
	header := c.child(t, messageHeader)
	kind := 0
	if at := c.slot(t, messageHeaderType); at > 0 && c.has(at, 1) {
		kind = int(c.data[at])
	}
	switch {
	case c.err != nil:
		return 0, c.err
	case !header.ok:
		return 0, errors.New("message metadata: no header")
	case kind == headerSchema:
		c.schema(header)
	case kind == headerRecord:
		c.record(header)
	case kind == headerDictionary:
		c.record(c.child(header, dictionaryData))
	}
	return bodyLength, c.err
}

// Block is where one message of a file lies.
type Block struct {
	Offset         int64
	MetadataLength int32
	BodyLength     int64
}

// checkFooter checks a file's footer.
func checkFooter(footer []byte) (dictionaries, records []Block, err error) {
	c := &checker{data: footer}
	t := c.table(c.uint32(0))
	schema := c.child(t, footerSchema)
	if c.err == nil && !schema.ok {
		return nil, nil, errors.New("file footer: no schema")
	}
	c.schema(schema)
	c.pairs(t, footerMetadata)
	dictionaries = c.blocks(t, footerDictionaries)
	records = c.blocks(t, footerRecords)
	return dictionaries, records, c.err
}

func (c *checker) blocks(t table, slot int) []Block {
	first, n := c.vector(t, slot, blockBytes)
	blocks := make([]Block, n)
	for i := range blocks {
		at := first + blockBytes*i
		blocks[i] = Block{
			Offset: c.int64(at), MetadataLength: int32(c.uint32(at + 8)), BodyLength: c.int64(at + 16),
		}
	}
	return blocks
}

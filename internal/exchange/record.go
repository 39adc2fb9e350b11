package exchange

import (
	"encoding/binary"
	"fmt"

	"github.com/tapeline/tapeline/internal/exchange/order"
)

// Rules is the version of what matching does to the same commands. A log is replayed by the version that
// wrote it only.
const Rules = 1

// Records of the log are 64 bytes, little-endian: byte 0 is the kind; docs/format/exchange.md.
const (
	recordBytes = 64
	nameBytes   = 56 // of a name record: what is left behind kind and length

	recordSymbol  = 0x80 // the next symbol
	recordAccount = 0x81 // the next account
)

// putCommand writes the record of a command.
func putCommand(p []byte, c *order.Command) {
	clear(p)
	le := binary.LittleEndian
	p[0], p[1], p[2], p[3], p[4] = byte(c.Kind), byte(c.Side), byte(c.Type), byte(c.TIF), byte(c.Flags)
	le.PutUint64(p[8:], c.Order)
	le.PutUint64(p[16:], uint64(c.Qty))
	le.PutUint32(p[24:], uint32(c.Price))
	le.PutUint32(p[28:], c.Symbol)
	le.PutUint32(p[32:], c.Account)
}

// command reads the record of one.
func command(p []byte) order.Command {
	le := binary.LittleEndian
	return order.Command{
		Kind: order.Kind(p[0]), Side: order.Side(p[1]), Type: order.Type(p[2]), TIF: order.TIF(p[3]),
		Flags: order.Flags(p[4]), Order: le.Uint64(p[8:]), Qty: int64(le.Uint64(p[16:])),
		Price: int32(le.Uint32(p[24:])), Symbol: le.Uint32(p[28:]), Account: le.Uint32(p[32:]),
	}
}

// putName writes the record of a symbol or account.
func putName(p []byte, kind byte, name string) {
	clear(p)
	p[0], p[1] = kind, byte(len(name))
	copy(p[8:], name)
}

func name(p []byte) (string, error) {
	if int(p[1]) == 0 || int(p[1]) > nameBytes {
		return "", fmt.Errorf("a name of %d bytes", p[1])
	}
	return string(p[8 : 8+int(p[1])]), nil
}

// names gives numbers to names, from first on, in the order they come.
type names struct {
	list   []string
	number map[string]uint32
	first  uint32
}

func newNames(first uint32) names { return names{number: map[string]uint32{}, first: first} }

func (n *names) add(name string) uint32 {
	number := n.first + uint32(len(n.list))
	n.list = append(n.list, name)
	n.number[name] = number
	return number
}

// of returns the name of a number, "" for none.
func (n *names) of(number uint32) string {
	if number < n.first || number-n.first >= uint32(len(n.list)) {
		return ""
	}
	return n.list[number-n.first]
}

package filesink

import (
	"encoding/binary"
	"fmt"

	"github.com/tapeline/tapeline/connector"
)

// positionVersion is the first byte of a position.
const positionVersion = 1

// position is where reading continues: in one file of the sorted list.
type position struct {
	file       string
	offset     int64 // in the decompressed, transcoded stream
	line       int64 // of the byte at offset, from 1
	headSum    uint32
	headLength int
}

func (p position) encode() connector.Position {
	b := append(make([]byte, 0, 32+len(p.file)), positionVersion)
	b = binary.AppendUvarint(b, uint64(p.offset))
	b = binary.AppendUvarint(b, uint64(p.line))
	b = binary.AppendUvarint(b, uint64(p.headSum))
	b = binary.AppendUvarint(b, uint64(p.headLength))
	return append(b, p.file...)
}

func decodePosition(b []byte) (position, error) {
	if len(b) == 0 || b[0] != positionVersion {
		return position{}, fmt.Errorf("file position: unknown version in %d bytes", len(b))
	}
	b = b[1:]
	var numbers [4]uint64
	for i := range numbers {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return position{}, fmt.Errorf("file position: cut short")
		}
		numbers[i], b = v, b[n:]
	}
	return position{
		offset: int64(numbers[0]), line: int64(numbers[1]),
		headSum: uint32(numbers[2]), headLength: int(numbers[3]), file: string(b),
	}, nil
}

package container

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/tapeline/tapeline/connector"
)

// positionVersion is the first byte of a position.
const positionVersion = 1

// position is where reading continues: at a cursor of one state of one file.
type position struct {
	file   string
	cursor Cursor
	state  state
}

// state tells one content of a file from another.
type state struct {
	sizeBytes int64
	sum       uint32 // of its first and last bytes
}

func (p position) encode() connector.Position {
	b := append(make([]byte, 0, 32+len(p.file)), positionVersion)
	b = binary.AppendUvarint(b, uint64(p.cursor.Unit))
	b = binary.AppendUvarint(b, uint64(p.cursor.Row))
	b = binary.AppendUvarint(b, uint64(p.state.sizeBytes))
	b = binary.AppendUvarint(b, uint64(p.state.sum))
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
			return position{}, errors.New("file position: cut short")
		}
		numbers[i], b = v, b[n:]
	}
	return position{
		file:   string(b),
		cursor: Cursor{Unit: int64(numbers[0]), Row: int64(numbers[1])},
		state:  state{sizeBytes: int64(numbers[2]), sum: uint32(numbers[3])},
	}, nil
}

// stateOf reads what identifies a file's content.
func stateOf(r io.ReaderAt, sizeBytes int64) (state, error) {
	const edgeBytes = 1024
	edge := make([]byte, min(sizeBytes, edgeBytes))
	s := state{sizeBytes: sizeBytes}
	for _, at := range []int64{0, sizeBytes - int64(len(edge))} {
		if n, err := r.ReadAt(edge, at); n < len(edge) {
			return s, err
		}
		s.sum = crc32.Update(s.sum, crc32.IEEETable, edge)
	}
	return s, nil
}

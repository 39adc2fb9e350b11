package postgres

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

const positionVersion = 1

// position names the last row read. Which members are set depends on the scan's order.
type position struct {
	Version     int      `json:"v"`
	Order       order    `json:"order"`
	Relation    uint32   `json:"relation,omitempty"` // physical: the table or partition
	Block       uint32   `json:"block,omitempty"`
	Offset      uint16   `json:"offset,omitempty"`
	Values      []string `json:"values,omitempty"` // sorted: of the ordering columns
	sqlkit.Ties          // of the incremental column
	Skip        int64    `json:"skip,omitempty"` // rows read of those that are equal in order
	Rows        int64    `json:"rows"`           // read so far, for places in messages
	Done        bool     `json:"done,omitempty"`
}

// order says in which order rows come, and so how a position finds the next one.
type order string

const (
	physical order = "physical" // by ctid within each relation
	sorted   order = "sorted"   // by the incremental column and a tie-breaker
	counted  order = "counted"  // as the query gives them; rows are counted
)

func parsePosition(p connector.Position, want order) (position, error) {
	if p == nil {
		return position{Version: positionVersion, Order: want}, nil
	}
	var out position
	if err := json.Unmarshal(p, &out); err != nil {
		return out, fmt.Errorf("position %q: %w", p, err)
	}
	switch {
	case out.Version != positionVersion:
		return out, fmt.Errorf("position of version %d, this connector has %d",
			out.Version, positionVersion)
	case out.Order != want:
		return out, fmt.Errorf("position of a %s scan, the configuration asks for a %s one: "+
			"start with --fresh", out.Order, want)
	}
	if want == sorted {
		out.Resume()
	}
	return out, nil
}

func (p position) encode() connector.Position {
	p.Version = positionVersion
	text, _ := json.Marshal(p) // plain members always marshal
	return text
}

var errNoCursor = errors.New("the row lacks its position columns")

// fieldAt returns field i of a tuple frame; nil is NULL.
func fieldAt(frame []byte, i int) ([]byte, error) {
	rest := frame[frameHeader:]
	if len(rest) < 2 || int(binary.BigEndian.Uint16(rest)) <= i {
		return nil, errNoCursor
	}
	rest = rest[2:]
	for ; ; i-- {
		if len(rest) < 4 {
			return nil, errNoCursor
		}
		size := int(int32(binary.BigEndian.Uint32(rest)))
		rest = rest[4:]
		if size > len(rest) {
			return nil, errNoCursor
		}
		if i == 0 {
			if size < 0 {
				return nil, nil
			}
			return rest[:size], nil
		}
		rest = rest[max(size, 0):]
	}
}

// lastFrame returns the frame of the last row of a block.
func lastFrame(frames []byte, rows int) []byte {
	for range rows - 1 {
		size, _ := frameSize(frames)
		frames = frames[size:]
	}
	return frames
}

// equalTail returns the frames at the end of a block whose field i equals the last one's. A block of
// rows in that order needs no more than one pass.
func equalTail(frames []byte, rows, i int) (tail []byte, count int, err error) {
	var before []byte
	for n := range rows {
		field, err := fieldAt(frames, i)
		if err != nil {
			return nil, 0, err
		}
		if n == 0 || !bytes.Equal(field, before) {
			tail, count, before = frames, 0, field
		}
		count++
		size, _ := frameSize(frames)
		frames = frames[size:]
	}
	return tail, count, nil
}

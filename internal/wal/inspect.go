package wal

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tapeline/tapeline/internal/vfs"
)

// Inspection is what a folder holds, as read without changing it.
type Inspection struct {
	ID        string        `json:"id"` // of the log, hexadecimal
	First     uint64        `json:"first"`
	Last      uint64        `json:"last"`      // 0: no record
	Watermark uint64        `json:"watermark"` // last sequence that the log itself says was acknowledged
	Frames    int           `json:"frames"`
	Bytes     int64         `json:"bytes"` // of the frames
	Closed    bool          `json:"closed"`
	Segments  []SegmentInfo `json:"segments"`
	Torn      *Torn         `json:"torn,omitempty"`
	Corrupt   *CorruptError `json:"corrupt,omitempty"`
}

// SegmentInfo describes one file.
type SegmentInfo struct {
	Name    string    `json:"name"`
	State   string    `json:"state"` // "used", "spare" or "damaged"
	Bytes   int64     `json:"bytes"`
	Epoch   uint32    `json:"epoch,omitempty"`
	First   uint64    `json:"first,omitempty"`
	Rules   uint32    `json:"rules_version,omitempty"`
	GivenUp bool      `json:"given_up,omitempty"` // an operator gave up what had been there from First on
	Created time.Time `json:"created,omitzero"`
}

// Inspect reads all of a log and calls visit, if not nil, for each frame with records. Damage is part of the
// result, not an error. A log that is being written may end torn.
func Inspect(fsys vfs.FS, dir string, visit func(f *Frame) error) (*Inspection, error) {
	found, err := list(fsys, dir)
	if err != nil {
		return nil, err
	}
	if len(found.segments) == 0 {
		return nil, fmt.Errorf("%s holds no log: no file *%s is there", dir, suffix)
	}
	if visit == nil {
		visit = func(*Frame) error { return nil }
	}
	in := &Inspection{}
	for _, s := range found.segments {
		info := SegmentInfo{Name: filepath.Base(s.name), State: "spare", Bytes: s.size}
		if h := s.header; s.kind == valid {
			info.State, info.Epoch, info.First, info.Rules, info.GivenUp = "used", h.epoch, h.first, h.rules, h.flags&flagGivenUp != 0
			info.Created = time.Unix(0, h.created).UTC()
			if in.ID == "" {
				in.ID, in.First = fmt.Sprintf("%x", h.id), h.first
			}
		} else if s.kind == unknown {
			info.State = "damaged"
		}
		in.Segments = append(in.Segments, info)
	}
	e, err := walk(fsys, &found, 0, func(f *Frame) error {
		in.Last, in.Watermark = f.Last(), f.Watermark
		in.Frames++
		in.Bytes += int64(padded(f.length))
		return visit(f)
	})
	if corrupt, ok := errors.AsType[*CorruptError](err); ok {
		in.Corrupt = corrupt
		return in, nil
	}
	if err != nil {
		return nil, err
	}
	in.Watermark, in.Frames, in.Bytes, in.Closed, in.Torn = e.watermark, e.frames, e.bytes, e.closed, e.torn
	return in, nil
}

// Text returns the inspection for people.
func (in *Inspection) Text() string {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "segment\tstate\tepoch\tfirst\tbytes\tbegun")
	for _, s := range in.Segments {
		if s.State != "used" {
			fmt.Fprintf(table, "%s\t%s\t\t\t%d\t\n", s.Name, s.State, s.Bytes)
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%s", s.Name, s.State, s.Epoch, s.First, s.Bytes,
			s.Created.Format(time.DateTime))
		if s.GivenUp {
			fmt.Fprint(table, ", after records were given up")
		}
		fmt.Fprintln(table)
	}
	_ = table.Flush() // to memory
	fmt.Fprintf(&b, "log %s: sequences %d to %d in %d frames, %d bytes", in.ID, in.First, in.Last, in.Frames, in.Bytes)
	switch {
	case in.Corrupt != nil:
		fmt.Fprintf(&b, "; DAMAGED: %v", in.Corrupt)
	case in.Closed:
		b.WriteString("; closed")
	case in.Torn != nil:
		fmt.Fprintf(&b, "; the last write is torn (%s, byte %d: %s)", in.Torn.Segment, in.Torn.Offset, in.Torn.Reason)
	default:
		b.WriteString("; not closed")
	}
	b.WriteString("\n")
	return b.String()
}

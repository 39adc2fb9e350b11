package filesink

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"github.com/tapeline/tapeline/connector"
)

// Columns checks that rows of the given columns, in the format's own text, may follow those staged
// before, be it by an earlier process of the run: one file has one set of columns. In a folder
// other columns begin a new file, unless rows of the epoch under way are in one; unwritten says that
// the sink holds rows for it that the stage does not know yet. The text is kept with the tokens.
func (s *Stage) Columns(format string, is []byte, unwritten bool) error {
	is = shortened(is)
	was := s.note
	if was == nil || bytes.Equal(was, is) {
		s.note = is
		return nil
	}
	if s.folder && !unwritten && (s.part == nil || s.part.number <= s.epoch) {
		if err := s.turn(); err != nil {
			return err
		}
		s.note, s.cut = is, len(s.kept) > 0
		return nil
	}
	hint := "one file has one set of columns: select and cast them before this sink"
	if !s.folder {
		hint += ", or write to a folder"
	}
	return &connector.Error{
		Op: "write " + format, Class: connector.Schema, Code: format + "_columns_changed",
		Err: fmt.Errorf("columns changed from (%s) to (%s)", was, is), Hint: hint,
	}
}

// turn ends the current part, to be published with the epoch under way.
func (s *Stage) turn() error {
	if s.part == nil || s.part.length+int64(len(s.part.buffer)) == 0 {
		return nil
	}
	before := len(s.part.buffer)
	s.part.buffer = append(s.part.buffer, s.cfg.Tail...)
	if err := s.flush(); err != nil {
		s.part.buffer = s.part.buffer[:before]
		return err
	}
	s.turned, s.part = append(s.turned, s.part), nil
	return nil
}

// shortened keeps a long text as its sum, since tokens are bounded.
func shortened(text []byte) []byte {
	const longestBytes = 8 << 10
	if len(text) <= longestBytes {
		return bytes.Clone(text)
	}
	return fmt.Appendf(nil, "%s..., sha256 %x", text[:64], sha256.Sum256(text))
}

package filesink

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/tapeline/tapeline/connector"
)

// Longest pieces of a name; together they stay below the 255 bytes of most file systems.
const (
	maxStemBytes = 120
	maxNodeBytes = 40
)

// taskName tells tasks of a run apart: node and index.
func taskName(task connector.Task) string {
	return fmt.Sprintf("%s-%02d", safeName(task.Node, maxNodeBytes), task.Index)
}

// hiddenPrefix begins the hidden names of a task. The parts of the name cannot hold a dot, so that
// no prefix begins another's name.
func hiddenPrefix(stem string, task connector.Task) string {
	if len(stem) > maxStemBytes {
		stem = "part-" + shortSum(stem)
	}
	return fmt.Sprintf(".%s.%s.%s-", stem, safeName(task.Run, maxNodeBytes), taskName(task))
}

// safeName keeps what every file system takes. Texts that are changed get a sum, to stay different.
func safeName(text string, maxBytes int) string {
	safe := strings.Map(func(ch rune) rune {
		switch {
		case ch >= 'a' && ch <= 'z', ch >= 'A' && ch <= 'Z', ch >= '0' && ch <= '9', ch == '_', ch == '-':
			return ch
		}
		return '_'
	}, text)
	if safe == text && len(safe) <= maxBytes {
		return safe
	}
	sum := shortSum(text)
	return safe[:min(len(safe), maxBytes-len(sum)-1)] + "-" + sum
}

func shortSum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:4])
}

// hidden returns the name of the part that the owner with the fence began in the epoch number.
func (s *Stage) hidden(fence, number uint64) string {
	return fmt.Sprintf("%s%d.%06d%s", s.prefix, fence, number, hiddenSuffix)
}

// merged returns the name of this owner's merge of the kept parts up to an epoch.
func (s *Stage) merged(through uint64) string {
	return fmt.Sprintf("%s%d.%s%06d%s", s.prefix, s.task.Fence, mergedMark, through, hiddenSuffix)
}

const (
	mergedMark   = "to-"
	hiddenSuffix = ".part"
)

func (s *Stage) path(name string) string { return filepath.Join(s.dir, name) }

// final returns the visible name of a part: run, task and epoch.
func (s *Stage) final(number uint64) string {
	if !s.folder {
		return s.target
	}
	name := fmt.Sprintf("part-%s-%s-%06d%s",
		safeName(s.task.Run, maxNodeBytes), taskName(s.task), number, s.cfg.Suffix)
	if s.compress == nil {
		return name
	}
	return name + compressedSuffix(s.cfg.Sink.compression())
}

func compressedSuffix(compression string) string {
	return map[string]string{"gzip": ".gz", "zstd": ".zst"}[compression]
}

// staged is what a hidden name says.
type staged struct {
	fence  uint64
	number uint64 // epoch that began the part; 0: merged
	name   string
}

// stagedNames lists this task's hidden files, of all owners, in the order of their numbers.
func (s *Stage) stagedNames() ([]staged, error) {
	entries, err := s.fs.List(s.dir)
	if err != nil {
		return nil, openError("list "+s.dir, err)
	}
	var all []staged
	for _, entry := range entries {
		if f, mine := s.parse(entry.Name()); mine {
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(a, b staged) int { return cmp.Compare(a.number, b.number) })
	return all, nil
}

// parse reads a hidden name; mine false: it is not of this task.
func (s *Stage) parse(name string) (f staged, mine bool) {
	rest, ok := strings.CutPrefix(name, s.prefix)
	rest, part := strings.CutSuffix(rest, hiddenSuffix)
	first, second, two := strings.Cut(rest, ".")
	if !ok || !part || !two {
		return staged{}, false
	}
	fence, err := strconv.ParseUint(first, 10, 64)
	if err != nil {
		return staged{}, false
	}
	digits, merged := strings.CutPrefix(second, mergedMark)
	number, err := strconv.ParseUint(digits, 10, 64)
	if merged {
		number = 0
	}
	return staged{fence: fence, number: number, name: name}, err == nil
}

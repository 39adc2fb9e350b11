package filesink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/vfs"
)

// StageConfig says where a Stage writes and what its format allows.
type StageConfig struct {
	FS     vfs.FS
	Sink   SinkConfig
	Suffix string // ending of part files in a folder, with the dot: ".csv"

	// PerEpoch is for formats whose file cannot be continued after a crash, as with a footer: each
	// epoch closes its part. The sink writes the footer before it calls Prepare; Compression is not
	// applied. Without it all epochs go on in one part.
	PerEpoch bool

	// Merge writes parts, in order, as one file: PerEpoch with a single-file path. It is called at
	// the end of a run of several epochs.
	Merge func(ctx context.Context, target io.Writer, parts []vfs.File) error
}

// Stage is the transactional target of one file sink's task: it writes hidden parts beside the
// target and publishes them by rename. It is used by one goroutine, except Prepared.Sync.
//
// A hidden name carries the task's fence, and a stage writes only to files of its own fence: an
// owner that lost its lease and does not know it yet cannot reach what the next one writes.
type Stage struct {
	cfg    StageConfig
	task   connector.Task
	folder bool   // parts of their own instead of one file
	dir    string // where parts and target live
	target string // name of the single file in dir
	prefix string // of this task's hidden parts in dir, whoever owns them

	compress *compressor
	part     *part
	epoch    uint64      // newest prepared or recovered
	kept     []keptToken // parts that wait for the merge
	note     []byte
	adopted  string // hidden part of an earlier owner that tokens up to recovered need
	newNames bool   // entries of dir that no SyncDir covers yet
}

// part is one hidden file being written.
type part struct {
	number uint64 // epoch that began it
	file   vfs.File
	length int64  // bytes in file
	buffer []byte // written after them
}

const (
	bufferBytes = 256 << 10 // smaller writes are collected
	memberBytes = 1 << 20   // uncompressed bytes of a compressed member
)

// NewStage returns a stage for the configuration, which must be valid.
func NewStage(cfg StageConfig) (*Stage, error) {
	s := &Stage{cfg: cfg}
	if cfg.PerEpoch {
		return s, nil
	}
	var err error
	s.compress, err = newCompressor(cfg.Sink.compression())
	return s, err
}

// Open prepares for the task. A single-file path takes one task only.
func (s *Stage) Open(_ context.Context, task connector.Task) error {
	s.task = task
	path := s.cfg.Sink.Path
	s.folder = s.cfg.Sink.folder(s.cfg.FS.Stat)
	stem := "part"
	if s.folder {
		s.dir = filepath.Clean(path)
	} else {
		s.dir, s.target = filepath.Dir(path), filepath.Base(path)
		stem = s.target
		if task.Count > 1 {
			return &connector.Error{
				Op: "open " + path, Class: connector.Permanent, Path: "path",
				Err:  fmt.Errorf("%d writers cannot write one file", task.Count),
				Hint: "name a folder, with a final /, or set the sink's parallelism to 1",
			}
		}
	}
	s.prefix = fmt.Sprintf(".%s.%s-%02d-", stem, safeName(task.Run), task.Index)
	if err := s.cfg.FS.MkdirAll(s.dir); err != nil {
		return writeError("make folder "+s.dir, err)
	}
	return nil
}

// safeName keeps what every file system takes.
func safeName(text string) string {
	return strings.Map(func(ch rune) rune {
		switch {
		case ch >= 'a' && ch <= 'z', ch >= 'A' && ch <= 'Z', ch >= '0' && ch <= '9', ch == '_', ch == '-':
			return ch
		}
		return '_'
	}, text)
}

// hidden returns the name of the part that the owner with the fence began in the epoch number.
func (s *Stage) hidden(fence, number uint64) string {
	return fmt.Sprintf("%s%d.%06d.part", s.prefix, fence, number)
}

// merged returns the name of this owner's merge of the kept parts.
func (s *Stage) merged() string { return fmt.Sprintf("%s%d.merged.part", s.prefix, s.task.Fence) }

func (s *Stage) path(name string) string { return filepath.Join(s.dir, name) }

// final returns the visible name of a part.
func (s *Stage) final(number uint64) string {
	if !s.folder {
		return s.target
	}
	name := fmt.Sprintf("part-%s-%02d-%06d%s", safeName(s.task.Run), s.task.Index, number, s.cfg.Suffix)
	if s.compress == nil {
		return name
	}
	return name + map[string]string{"gzip": ".gz", "zstd": ".zst"}[s.cfg.Sink.compression()]
}

// Fresh reports whether the current part holds nothing yet, so that a header is due.
func (s *Stage) Fresh() (bool, error) {
	if err := s.begin(); err != nil {
		return false, err
	}
	return s.part.length+int64(len(s.part.buffer)) == 0, nil
}

// Size returns the bytes of the current part, 0 when there is none.
func (s *Stage) Size() int64 {
	if s.part == nil {
		return 0
	}
	return s.part.length + int64(len(s.part.buffer))
}

// Note keeps a few bytes about what the parts hold, such as their columns, in the tokens of
// Prepare.
func (s *Stage) Note(note []byte) { s.note = note }

// Noted returns what was given to Note, by this stage or before Recover; nil: nothing.
func (s *Stage) Noted() []byte { return s.note }

// Write appends p to the current part: "written" once Prepare was called. It takes all of p or, on
// an error that does not wrap ErrEpochLost, none, so that it may be repeated.
func (s *Stage) Write(p []byte) (int, error) {
	if err := s.begin(); err != nil {
		return 0, err
	}
	limit := bufferBytes
	if s.compress != nil {
		limit = memberBytes
	}
	before := len(s.part.buffer)
	if before == 0 && len(p) >= limit {
		if err := s.append(p); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	s.part.buffer = append(s.part.buffer, p...)
	if len(s.part.buffer) >= limit {
		if err := s.flush(); err != nil {
			s.part.buffer = s.part.buffer[:before]
			return 0, err
		}
	}
	return len(p), nil
}

// begin makes sure that there is a part to write to.
func (s *Stage) begin() error {
	if s.part != nil {
		return nil
	}
	number := s.epoch + 1
	name := s.path(s.hidden(s.task.Fence, number))
	file, err := s.cfg.FS.Create(name)
	if err != nil {
		return writeError("create "+name, err)
	}
	s.newNames = true
	s.part = &part{number: number, file: file}
	if s.folder || s.cfg.Sink.IfExists != "append" || s.cfg.PerEpoch {
		return nil
	}
	if err := s.copyTarget(); err != nil {
		_ = file.Close() // the part is made anew by the next call
		s.part = nil
		return err
	}
	return nil
}

// copyTarget starts the part with what the target holds: if_exists append.
func (s *Stage) copyTarget() error {
	target, err := s.cfg.FS.Open(s.path(s.target))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return openError("open "+s.path(s.target), err)
	}
	s.part.length, err = io.Copy(struct{ io.Writer }{s.part.file}, struct{ io.Reader }{target})
	return errors.Join(writeError("copy "+s.path(s.target), err), target.Close())
}

func (s *Stage) flush() error {
	if len(s.part.buffer) == 0 {
		return nil
	}
	if err := s.append(s.part.buffer); err != nil {
		return err
	}
	s.part.buffer = s.part.buffer[:0]
	return nil
}

// append writes p to the part's file, or leaves the file as it was.
func (s *Stage) append(p []byte) error {
	if s.compress != nil {
		var err error
		if p, err = s.compress.member(p); err != nil {
			return fmt.Errorf("compress for %s: %w", s.part.file.Name(), err)
		}
	}
	return s.appendRaw(p)
}

func (s *Stage) appendRaw(p []byte) error {
	if _, err := s.part.file.Write(p); err != nil {
		return s.undo(writeError("write "+s.part.file.Name(), err))
	}
	s.part.length += int64(len(p))
	return nil
}

// undo cuts off what a failed write left. The file is opened again because its offset has moved.
func (s *Stage) undo(cause error) error {
	name := s.part.file.Name()
	err := s.part.file.Truncate(s.part.length)
	if err == nil {
		_ = s.part.file.Close() // what counts was written before and is synced by its name
		s.part.file, err = s.cfg.FS.OpenAppend(name)
	}
	if err != nil {
		return fmt.Errorf("%w: %w: %w", cause, connector.ErrEpochLost, err)
	}
	return cause
}

// Close closes the current part and leaves it for Recover.
func (s *Stage) Close() error {
	if s.part == nil {
		return nil
	}
	err := s.part.file.Close()
	s.part = nil
	return err
}

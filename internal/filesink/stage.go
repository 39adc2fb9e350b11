package filesink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path/filepath"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/vfs"
)

// StageConfig says where a Stage writes and what its format allows.
type StageConfig struct {
	Env    connector.Env // its file system, state folder and log
	Sink   SinkConfig
	Suffix string // ending of part files in a folder, with the dot: ".csv"

	// PerEpoch is for formats whose file cannot be continued after a crash, as with a footer: each
	// epoch closes its part. The sink writes the footer before it calls Prepare; Compression is not
	// applied. Without it all epochs go on in one part.
	PerEpoch bool

	// Tail ends a part of several epochs in a folder where other columns begin a new one. Where an
	// epoch ends it, the sink writes the tail before it calls Prepare.
	Tail []byte

	// Merge writes parts, in order, as one file: needed with PerEpoch. Each part is open until the
	// next one is asked for.
	Merge func(ctx context.Context, target io.Writer, parts iter.Seq2[vfs.File, error]) error
}

// Stage is the transactional target of one file sink's task: it writes hidden parts beside the
// target and publishes them by rename. It is used by one goroutine, except Prepared.Sync.
//
// A hidden name carries the task's fence, and a stage writes only to files of its own fence: an
// owner that lost its lease and does not know it yet cannot reach what the next one writes.
type Stage struct {
	cfg    StageConfig
	fs     vfs.FS
	task   connector.Task
	folder bool   // parts of their own instead of one file
	dir    string // where parts and target live
	target string // name of the single file in dir
	prefix string // of this task's hidden parts in dir, whoever owns them

	compress *compressor
	part     *part
	turned   []*part     // complete; published with the epoch under way
	epoch    uint64      // newest prepared or recovered
	kept     []keptToken // closed parts that wait to be merged and published
	cut      bool        // rows of other columns come next: kept is published without them
	note     []byte
	adopted  string       // hidden part of an earlier owner that tokens up to recovered need
	spent    []spentParts // merged parts that the token of an older epoch still needs
	recorded bool         // the state folder tells of this run's parts
	newNames bool         // entries of dir that no SyncDir covers yet
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
	s := &Stage{cfg: cfg, fs: cfg.Env.FS}
	if cfg.PerEpoch {
		return s, nil
	}
	var err error
	s.compress, err = newCompressor(cfg.Sink.compression())
	return s, err
}

// Open prepares for the task, and removes what runs of the same workflow left behind that nobody
// will take up. A single-file path takes one task only.
func (s *Stage) Open(_ context.Context, task connector.Task) error {
	s.task = task
	path := s.cfg.Sink.Path
	s.folder = s.cfg.Sink.folder(s.fs.Stat)
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
	s.prefix = hiddenPrefix(stem, task)
	if err := s.fs.MkdirAll(s.dir); err != nil {
		return writeError("make folder "+s.dir, err)
	}
	return s.sweepAbandoned()
}

// Fresh reports whether the current part holds nothing yet, so that a header is due.
func (s *Stage) Fresh() (bool, error) {
	if err := s.begin(); err != nil {
		return false, err
	}
	return s.part.length+int64(len(s.part.buffer)) == 0, nil
}

// Holds reports whether anything of the run is staged and not published.
func (s *Stage) Holds() bool { return s.part != nil || len(s.kept) > 0 }

// Folder reports whether each part is a file of its own, once the stage is open.
func (s *Stage) Folder() bool { return s.folder }

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
	if err := s.record(); err != nil {
		return err
	}
	number := s.epoch + 1
	name := s.path(s.hidden(s.task.Fence, number))
	file, err := s.fs.Create(name)
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
	target, err := s.fs.Open(s.path(s.target))
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
		s.part.file, err = s.fs.OpenAppend(name)
	}
	if err != nil {
		return fmt.Errorf("%w: %w: %w", cause, connector.ErrEpochLost, err)
	}
	return cause
}

// Close closes the current part and leaves it for Recover.
func (s *Stage) Close() error {
	var err error
	for _, p := range s.turned {
		err = errors.Join(err, p.file.Close())
	}
	if s.part != nil {
		err = errors.Join(err, s.part.file.Close())
	}
	s.turned, s.part = nil, nil
	return err
}

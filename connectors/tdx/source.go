package tdx

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filesink"
	"github.com/tapeline/tapeline/internal/market"
)

// suffix ends the names of the files, in any case.
const suffix = ".day"

// maxFileBytes bounds one file in memory: 2 million days are none of any market.
const maxFileBytes = 64 << 20

// source reads files one after the other, each as a whole.
type source struct {
	env connector.Env
	cfg *Config

	files []file
	zips  []connector.File
	at    position
	open  *day // the file of at
	row   int  // next of its rows
}

// file is one .day file, maybe in a zip.
type file struct {
	name   string // shown; sorted by it
	symbol market.Symbol
	member *zip.File // nil: name is its path
}

// position is the next record to read.
type position struct {
	Version int    `json:"v"`
	File    string `json:"file"`
	Record  int    `json:"record"`
	Bytes   int64  `json:"bytes"` // size of the file when it was read
}

const positionVersion = 1

var (
	_ connector.Source     = (*source)(nil)
	_ connector.Discoverer = (*source)(nil)
	_ connector.Checker    = (*source)(nil)
)

func newSource(env connector.Env, cfg *Config) (connector.Source, error) {
	return &source{env: env, cfg: cfg}, cfg.validate()
}

func permanent(op string, err error, hint string) error {
	return &connector.Error{Op: op, Class: connector.Permanent, Err: err, Hint: hint}
}

// Discover returns the columns.
func (s *source) Discover(context.Context) (*batch.Schema, error) { return schema, nil }

// Check reports whether there are files and their names say symbols.
func (s *source) Check(context.Context) error {
	return errors.Join(s.find(), s.Close())
}

// Open finds the files and continues at the position.
func (s *source) Open(_ context.Context, _ connector.Partition, at connector.Position) error {
	if err := s.find(); err != nil || at == nil {
		return err
	}
	if err := json.Unmarshal(at, &s.at); err != nil || s.at.Version != positionVersion {
		return permanent("resume tdx", fmt.Errorf("position %q is of another version", at), "start with --fresh")
	}
	if s.at.File == "" {
		s.files = nil // the end
		return nil
	}
	from := slices.IndexFunc(s.files, func(f file) bool { return f.name == s.at.File })
	if from < 0 {
		return permanent("resume tdx", fmt.Errorf("%s is gone", s.at.File), "start with --fresh")
	}
	s.files = s.files[from:]
	bytes, record := s.at.Bytes, s.at.Record
	if err := s.load(); err != nil {
		return err
	}
	if s.at.Bytes != bytes || record > s.open.total {
		return permanent("resume tdx", fmt.Errorf("%s had %d bytes and has %d now", s.at.File, bytes, s.at.Bytes),
			"start with --fresh")
	}
	s.at.Record = record
	s.row, _ = slices.BinarySearch(s.open.records, int32(record))
	return nil
}

// find lists the files.
func (s *source) find() error {
	names, err := s.names()
	if err != nil {
		return err
	}
	var wrong []error
	add := func(name string, member *zip.File) {
		symbol, err := symbolOf(filepath.ToSlash(name))
		if err != nil && len(wrong) < 5 {
			wrong = append(wrong, err)
		}
		s.files = append(s.files, file{name, symbol, member})
	}
	for _, name := range names {
		if !strings.EqualFold(filepath.Ext(name), ".zip") {
			add(name, nil)
			continue
		}
		members, err := s.openZip(name)
		if err != nil {
			return err
		}
		for _, m := range members {
			add(name+"/"+m.Name, m)
		}
	}
	if len(s.files) == 0 && len(wrong) == 0 {
		wrong = append(wrong, errors.New("it holds no .day file"))
	}
	slices.SortFunc(s.files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	if len(wrong) > 0 {
		return permanent("open "+s.cfg.Path, errors.Join(wrong...), "name the folder with lday, or a glob as vipdoc/s?/lday/*.day")
	}
	return nil
}

// names are the paths of the files and zips.
func (s *source) names() ([]string, error) {
	info, err := s.env.FS.Stat(s.cfg.Path)
	if err != nil || !info.IsDir() {
		glob := filesink.SourceConfig{Path: s.cfg.Path}
		return glob.Expand(s.env.FS)
	}
	return s.below(s.cfg.Path)
}

func (s *source) below(dir string) (found []string, err error) {
	entries, err := s.env.FS.List(dir)
	if err != nil {
		return nil, permanent("list "+dir, err, "")
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		switch {
		case e.IsDir():
			more, err := s.below(name)
			if err != nil {
				return nil, err
			}
			found = append(found, more...)
		case e.Mode()&fs.ModeType == 0 && strings.EqualFold(filepath.Ext(name), suffix):
			found = append(found, name)
		}
	}
	return found, nil
}

// openZip lists the .day files of a zip, which stays open.
func (s *source) openZip(name string) ([]*zip.File, error) {
	info, err := s.env.FS.Stat(name)
	if err != nil {
		return nil, permanent("open "+name, err, "")
	}
	f, err := s.env.FS.Open(name)
	if err != nil {
		return nil, permanent("open "+name, err, "")
	}
	s.zips = append(s.zips, f)
	r, err := zip.NewReader(f, info.Size())
	if err != nil {
		return nil, permanent("open "+name, err, "download it again: the zip is cut off or is none")
	}
	return slices.DeleteFunc(r.File, func(m *zip.File) bool {
		return !strings.EqualFold(filepath.Ext(m.Name), suffix)
	}), nil
}

// load reads the first of the files.
func (s *source) load() error {
	f := s.files[0]
	data, err := s.bytes(f)
	if err != nil {
		return permanent("read "+f.name, err, "copy or download it again")
	}
	digits := s.cfg.PriceDigits
	if digits == 0 {
		digits = digitsOf(f.symbol)
	}
	s.open, s.row = decode(f.name, f.symbol, digits, data), 0
	s.at = position{Version: positionVersion, File: f.name, Bytes: int64(len(data))}
	return nil
}

func (s *source) bytes(f file) (data []byte, err error) {
	var r io.ReadCloser
	size := uint64(0)
	if f.member != nil {
		size = f.member.UncompressedSize64
		r, err = f.member.Open()
	} else {
		var info fs.FileInfo
		if info, err = s.env.FS.Stat(f.name); err == nil {
			size = uint64(info.Size())
			r, err = s.env.FS.Open(f.name)
		}
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if size > maxFileBytes {
		return nil, fmt.Errorf("it is larger than %d bytes, which no .day file is", maxFileBytes)
	}
	// To its end, where a zip compares the checksum of a member.
	b := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
	_, err = b.ReadFrom(r)
	return b.Bytes(), err
}

// Read returns rows of one file.
func (s *source) Read(ctx context.Context) (connector.Chunk, error) {
	for {
		if err := context.Cause(ctx); err != nil {
			return connector.Chunk{}, err
		}
		if s.open == nil {
			if len(s.files) == 0 {
				end, err := json.Marshal(position{Version: positionVersion})
				return connector.Chunk{Position: end}, errors.Join(err, io.EOF)
			}
			if err := s.load(); err != nil {
				return connector.Chunk{}, err
			}
		}
		if s.at.Record < s.open.total {
			return s.chunk()
		}
		s.open, s.files = nil, s.files[1:]
	}
}

// chunk hands over the next records.
func (s *source) chunk() (connector.Chunk, error) {
	limits := s.env.Budget.Limits()
	records := max(1, min(limits.Rows, limits.Bytes/recordBytes, s.open.total-s.at.Record))
	from, end := s.at.Record, s.at.Record+records
	to, _ := slices.BinarySearch(s.open.records, int32(end))
	chunk := connector.Chunk{Batch: s.open.rows.Slice(s.row, to), Bytes: records * recordBytes}
	for _, r := range s.open.rejected {
		if r.record >= from && r.record < end {
			chunk.Rejected = append(chunk.Rejected, r.Rejected)
		}
	}
	s.row, s.at.Record = to, end
	var err error
	chunk.Position, err = json.Marshal(s.at)
	return chunk, err
}

// Ack has nothing to do: files stay.
func (s *source) Ack(context.Context, connector.Position) error { return nil }

// Close closes the zips.
func (s *source) Close() error {
	var errs []error
	for _, f := range s.zips {
		errs = append(errs, f.Close())
	}
	s.zips, s.files, s.open = nil, nil, nil
	return errors.Join(errs...)
}

package run

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/tapeline/tapeline/batch"
	checked "github.com/tapeline/tapeline/codec/ipc"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/lifecycle"
	"github.com/tapeline/tapeline/internal/vfs"
)

const (
	redoSuffix     = ".redo"
	redoFrameBytes = 8 // length and checksum before each frame
)

// errDamaged marks a redo file that is not what was synced.
var errDamaged = errors.New("damaged")

// redoLog keeps the rows that one sink took in the open epoch, in a file of the state folder.
// docs/redo-format.md describes its bytes.
type redoLog struct {
	files vfs.FS
	name  string
	file  vfs.File // nil: the open epoch has no rows
	stateObject
	frame bytes.Buffer
}

func newRedoLog(files vfs.FS, dir, name string) *redoLog {
	name += redoSuffix
	return &redoLog{
		files: files, name: filepath.Join(dir, name), stateObject: stateObject{Name: name},
	}
}

// append adds the rows of one write, each a form the sink took: written.
func (l *redoLog) append(table string, rows *batch.Batch) error {
	dense := rows
	for i := range rows.Columns() {
		typed, bad := dense.Typed(i)
		if len(bad) > 0 {
			return fmt.Errorf("redo file: a row that was written does not read: %w", bad[0])
		}
		dense = typed
	}
	if dense.Selection() != nil {
		dense = dense.Keep()
	}
	l.frame.Reset()
	l.frame.Write(make([]byte, redoFrameBytes))
	if err := encodeRedo(&l.frame, table, dense); err != nil {
		return fmt.Errorf("redo file: %w", err)
	}
	frame := l.frame.Bytes()
	body := frame[redoFrameBytes:]
	if uint64(len(body)) > 1<<32-1 {
		return fmt.Errorf("redo file: %d rows need %d bytes", dense.Len(), len(body))
	}
	binary.LittleEndian.PutUint32(frame, uint32(len(body)))
	binary.LittleEndian.PutUint32(frame[4:], crc32.Checksum(body, castagnoli))
	if l.file == nil {
		if err := l.create(); err != nil {
			return fmt.Errorf("redo file: %w", err)
		}
	}
	if _, err := l.file.Write(frame); err != nil {
		return fmt.Errorf("redo file: %w", err)
	}
	l.Bytes += int64(len(frame))
	l.CRC32C = crc32.Update(l.CRC32C, castagnoli, frame)
	return nil
}

func (l *redoLog) create() (err error) {
	if err := l.files.MkdirAll(filepath.Dir(l.name)); err != nil {
		return err
	}
	l.file, err = l.files.Create(l.name)
	l.Bytes, l.CRC32C = 0, 0
	return err
}

// sync makes the open epoch's rows durable: synced.
func (l *redoLog) sync() error {
	if l.file == nil {
		return nil
	}
	err := l.file.Sync()
	if err == nil {
		err = l.files.SyncDir(filepath.Dir(l.name))
	}
	if err != nil {
		return fmt.Errorf("redo file: %w", err)
	}
	return nil
}

// reset forgets the open epoch's rows. The file goes with the next ones.
func (l *redoLog) reset() {
	l.Bytes, l.CRC32C = 0, 0
	l.close()
}

func (l *redoLog) close() {
	if l.file != nil {
		_ = l.file.Close() // what counts was synced
		l.file = nil
	}
}

// remove deletes the file, if there is one.
func (l *redoLog) remove() error {
	l.reset()
	err := l.files.Remove(l.name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("redo file: %w", err)
	}
	return nil
}

// replay calls write for each frame of the object, which has the file's length and checksum.
func (l *redoLog) replay(o stateObject, write func(chunk connector.Chunk) error) error {
	if o.Bytes == 0 {
		return nil
	}
	f, err := l.files.Open(l.name)
	if err != nil {
		return fmt.Errorf("redo file: %w", err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("redo file: %w", err)
	}
	sum := crc32.New(castagnoli)
	r := bufio.NewReaderSize(io.TeeReader(io.LimitReader(f, o.Bytes), sum), 1<<20)
	for {
		chunk, err := readRedo(r, o.Bytes)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = write(chunk)
		}
		if err != nil {
			return fmt.Errorf("redo file %s: %w", l.name, err)
		}
	}
	if size < o.Bytes || sum.Sum32() != o.CRC32C {
		return fmt.Errorf("redo file %s: %w: it is not the one that the manifest names", l.name, errDamaged)
	}
	return nil
}

// encodeRedo appends a frame's body.
func encodeRedo(out *bytes.Buffer, table string, rows *batch.Batch) error {
	var head []byte
	head = binary.AppendUvarint(head, uint64(len(table)))
	head = append(head, table...)
	operations := rows.Operations()
	head = binary.AppendUvarint(head, uint64(len(operations)))
	for _, o := range operations {
		head = append(head, byte(o))
	}
	out.Write(head)
	return lifecycle.Guard("redo", func() error {
		record := batch.ToArrow(rows)
		defer record.Release()
		w := ipc.NewWriter(out, ipc.WithSchema(record.Schema()))
		return errors.Join(w.Write(record), w.Close())
	})
}

// readRedo reads one frame; io.EOF after the last. limit bounds its size.
func readRedo(r io.Reader, limit int64) (connector.Chunk, error) {
	var head [redoFrameBytes]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return connector.Chunk{}, err // io.EOF between frames
	}
	size := int64(binary.LittleEndian.Uint32(head[:]))
	if size > limit {
		return connector.Chunk{}, fmt.Errorf("%w: a frame of %d bytes", errDamaged, size)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // the head promised more
		}
		return connector.Chunk{}, err
	}
	if sum := crc32.Checksum(body, castagnoli); sum != binary.LittleEndian.Uint32(head[4:]) {
		return connector.Chunk{}, fmt.Errorf("%w: a frame has another checksum", errDamaged)
	}
	chunk, err := decodeRedo(body)
	if err != nil {
		err = fmt.Errorf("%w: %w", errDamaged, err)
	}
	return chunk, err
}

func decodeRedo(body []byte) (chunk connector.Chunk, err error) {
	table, body, ok := redoBytes(body)
	operations, body, alsoOK := redoBytes(body)
	if !ok || !alsoOK {
		return chunk, io.ErrUnexpectedEOF
	}
	chunk.Table = string(table)
	err = lifecycle.Guard("redo", func() error {
		r, err := ipc.NewReader(checked.NewReader(bytes.NewReader(body)))
		if err != nil {
			return err
		}
		defer r.Release()
		if !r.Next() {
			return errors.Join(r.Err(), io.ErrUnexpectedEOF)
		}
		rows, err := batch.FromArrow(r.RecordBatch())
		if err != nil {
			return err
		}
		if len(operations) > 0 {
			if len(operations) != rows.Len() {
				return fmt.Errorf("%d operations for %d rows", len(operations), rows.Len())
			}
			all := make([]batch.Operation, len(operations))
			for i, o := range operations {
				all[i] = batch.Operation(o)
			}
			rows = rows.WithOperations(all)
		}
		chunk.Batch = rows.Keep() // the reader's memory goes with it
		return nil
	})
	return chunk, err
}

// redoBytes cuts length-prefixed bytes off.
func redoBytes(data []byte) (value, rest []byte, ok bool) {
	n, used := binary.Uvarint(data)
	if used <= 0 || n > uint64(len(data)-used) {
		return nil, nil, false
	}
	return data[used : used+int(n)], data[used+int(n):], true
}

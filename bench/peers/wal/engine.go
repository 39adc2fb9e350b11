package main

import (
	"encoding/binary"
	"errors"
	"os"

	"github.com/cockroachdb/pebble"
	"github.com/hashicorp/raft"
	raftwal "github.com/hashicorp/raft-wal"
	"github.com/tidwall/wal"
	"go.etcd.io/etcd/raft/v3/raftpb"
	etcdwal "go.etcd.io/etcd/server/v3/wal"
	"go.uber.org/zap"
)

// record returns what every record holds, and numbers it.
func record(payload []byte, number uint64) []byte {
	binary.LittleEndian.PutUint64(payload, number)
	return payload
}

// tidwall syncs its file at the end of each WriteBatch.
type tidwall struct {
	dir     string
	log     *wal.Log
	batch   wal.Batch
	payload [recordBytes]byte
}

func openTidwall(dir string) (engine, error) {
	t := &tidwall{dir: dir}
	return t, t.open()
}

func (t *tidwall) open() (err error) {
	// Segments as large as ours, and the faster of its two formats.
	t.log, err = wal.Open(t.dir, &wal.Options{SegmentSize: 64 << 20, LogFormat: wal.Binary, SegmentCacheSize: 2})
	return err
}

func (t *tidwall) reset() error {
	last, err := t.log.LastIndex()
	if err != nil || last == 0 {
		return err
	}
	return t.log.TruncateFront(last)
}

func (t *tidwall) commit(first uint64, records int) error {
	t.batch.Clear()
	for i := range uint64(records) {
		t.batch.Write(first+i, record(t.payload[:], first+i)) // copies
	}
	return t.log.WriteBatch(&t.batch)
}

func (t *tidwall) close() error { return t.log.Close() }

// etcd syncs (fdatasync) at the end of each Save that has entries.
type etcd struct {
	dir     string
	log     *etcdwal.WAL
	entries []raftpb.Entry
	payload []byte
}

func openEtcd(dir string) (engine, error) {
	e := &etcd{dir: dir, payload: make([]byte, recordBytes)}
	return e, e.open()
}

func (e *etcd) open() (err error) {
	e.log, err = etcdwal.Create(zap.NewNop(), e.dir, nil)
	return err
}

// reset begins anew: it has no call that deletes segments, and never uses them again.
func (e *etcd) reset() error {
	if err := errors.Join(e.log.Close(), os.RemoveAll(e.dir)); err != nil {
		return err
	}
	return e.open()
}

func (e *etcd) commit(first uint64, records int) error {
	if len(e.entries) < records {
		e.entries = make([]raftpb.Entry, records)
	}
	for i := range records {
		data := e.payload
		if i == 0 {
			data = record(e.payload, first)
		}
		e.entries[i] = raftpb.Entry{Term: 1, Index: first + uint64(i), Data: data}
	}
	return e.log.Save(raftpb.HardState{Term: 1, Commit: first}, e.entries[:records])
}

func (e *etcd) close() error { return e.log.Close() }

// raftWAL syncs its file at the end of each StoreLogs.
type raftWAL struct {
	log     *raftwal.WAL
	entries []*raft.Log
	payload []byte
}

func openRaftWAL(dir string) (engine, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	log, err := raftwal.Open(dir)
	return &raftWAL{log: log, payload: make([]byte, recordBytes)}, err
}

func (r *raftWAL) reset() error {
	last, err := r.log.LastIndex()
	if err != nil || last == 0 {
		return err
	}
	first, err := r.log.FirstIndex()
	if err != nil || first == last {
		return err
	}
	return r.log.DeleteRange(first, last-1)
}

func (r *raftWAL) commit(first uint64, records int) error {
	for len(r.entries) < records {
		r.entries = append(r.entries, &raft.Log{Term: 1, Data: r.payload})
	}
	record(r.payload, first)
	for i, entry := range r.entries[:records] {
		entry.Index = first + uint64(i)
	}
	return r.log.StoreLogs(r.entries[:records])
}

func (r *raftWAL) close() error { return r.log.Close() }

// pebbleLog uses the log of the store alone: what LogData takes is not put into its tables. Commit with
// Sync returns after fdatasync.
type pebbleLog struct {
	store   *pebble.DB
	recycle bool
	payload [recordBytes]byte
}

func openPebble(recycle bool) func(dir string) (engine, error) {
	return func(dir string) (engine, error) {
		store, err := pebble.Open(dir, &pebble.Options{MemTableSize: 64 << 20, Logger: silent{}})
		return &pebbleLog{store: store, recycle: recycle}, err
	}
}

// reset flushes the table, which is all but empty, so that another log file begins: one of an earlier turn,
// used again. Log data alone never fill a table, so that otherwise one log file grows for ever.
func (p *pebbleLog) reset() error {
	if !p.recycle {
		return nil
	}
	return p.store.Flush()
}

func (p *pebbleLog) commit(first uint64, records int) error {
	batch := p.store.NewBatch()
	for i := range uint64(records) {
		if err := batch.LogData(record(p.payload[:], first+i), nil); err != nil {
			return err
		}
	}
	// A batch of log data alone counts as empty.
	if err := batch.Set(p.payload[:8], p.payload[:8], nil); err != nil {
		return err
	}
	return errors.Join(batch.Commit(pebble.Sync), batch.Close())
}

func (p *pebbleLog) close() error { return p.store.Close() }

type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(string, ...any) {}

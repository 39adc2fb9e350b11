package store

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/tapeline/tapeline/internal/store/segment"
	"github.com/tapeline/tapeline/internal/vfs"
)

// wholeRows is up to how many rows a segment is decoded as a whole when it is first read.
const wholeRows = 50_000

// cache keeps decoded segments up to a number of bytes, and open files up to a number.
type cache struct {
	fs      vfs.FS
	dir     string
	catalog *catalog

	mu       sync.Mutex
	entries  map[cacheKey]*list.Element
	recent   *list.List // of *cached, the most recently used first
	bytes    int64
	maxBytes int64
	handles  int
	maxFiles int

	wholeRows int64
}

// cacheKey names a segment: the database gives the number of one that is gone to a later one.
type cacheKey struct{ id, checksum int64 }

func (info *segmentInfo) key() cacheKey { return cacheKey{info.id, info.checksum} }

// cached is a segment in the cache.
type cached struct {
	key    cacheKey
	reader reader
	bytes  int64
	file   vfs.File // nil: in memory
	users  int      // reads under way; a file is closed by the last
	gone   bool
}

func newCache(dir string, c *catalog, cfg Config) *cache {
	return &cache{
		fs: cfg.FS, dir: dir, catalog: c, entries: map[cacheKey]*list.Element{}, recent: list.New(),
		maxBytes: cfg.MemoryBytes, maxFiles: cfg.Handles, wholeRows: cfg.wholeRows,
	}
}

// use returns an open segment; done ends its use.
func (c *cache) use(ctx context.Context, d *dataset, info *segmentInfo) (r reader, done func(), err error) {
	c.mu.Lock()
	if e, ok := c.entries[info.key()]; ok {
		entry := e.Value.(*cached)
		c.recent.MoveToFront(e)
		entry.users++
		c.mu.Unlock()
		return entry.reader, func() { c.release(entry) }, nil
	}
	c.mu.Unlock()
	entry, err := c.load(ctx, d, info)
	if err != nil {
		return nil, nil, err
	}
	entry = c.keep(entry)
	return entry.reader, func() { c.release(entry) }, nil
}

// pass is use by a read that comes by once: what would be decoded as a whole is read page by page, and not
// kept.
func (c *cache) pass(ctx context.Context, d *dataset, info *segmentInfo) (r reader, done func(), err error) {
	c.mu.Lock()
	_, known := c.entries[info.key()]
	c.mu.Unlock()
	if known || info.file == "" || info.rows > c.wholeRows {
		return c.use(ctx, d, info)
	}
	entry, err := c.open(d, info)
	if err != nil {
		return nil, nil, err
	}
	return entry.reader, func() { c.close(entry) }, nil
}

// load opens a segment: small ones are decoded, of others the file stays open.
func (c *cache) load(ctx context.Context, d *dataset, info *segmentInfo) (*cached, error) {
	if info.file == "" || info.rows <= c.wholeRows {
		b, err := c.decode(ctx, d, info)
		if err != nil {
			return nil, err
		}
		return &cached{key: info.key(), reader: memory{b}, bytes: b.MemoryBytes()}, nil
	}
	return c.open(d, info)
}

// open opens a segment's file for reading by the page.
func (c *cache) open(d *dataset, info *segmentInfo) (*cached, error) {
	file, err := c.fs.Open(filepath.Join(c.dir, filepath.FromSlash(info.file)))
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	size, err := file.Size()
	var r reader
	if err == nil && size != info.bytes {
		err = fmt.Errorf("%w: %s has %d bytes, the catalog says %d", ErrCorrupt, info.file, size, info.bytes)
	}
	if err == nil {
		r, err = openSegment(d, info.file, file, size)
	}
	if err == nil {
		err = info.check(r.rows())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open segment %s: %w", info.file, err), file.Close())
	}
	return &cached{key: info.key(), reader: r, file: file}, nil
}

// decode reads a segment as a whole and compares its checksum.
func (c *cache) decode(ctx context.Context, d *dataset, info *segmentInfo) (*segment.Block, error) {
	raw, err := c.raw(ctx, info)
	if err != nil {
		return nil, err
	}
	if sum := int64(xxhash.Sum64(raw)); sum != info.checksum {
		return nil, fmt.Errorf("%w: %s: its checksum is %x, the catalog says %x (restore the file from a "+
			"backup or a snapshot)", ErrCorrupt, info.place(), uint64(sum), uint64(info.checksum))
	}
	b, err := decodeSegment(d, info.place(), raw)
	if err == nil {
		err = info.check(b.Len())
	}
	if err != nil {
		return nil, fmt.Errorf("read segment %s: %w", info.place(), err)
	}
	return b, nil
}

// raw returns a segment's bytes.
func (c *cache) raw(ctx context.Context, info *segmentInfo) ([]byte, error) {
	if info.file == "" {
		var raw []byte
		err := c.catalog.db.QueryRowContext(ctx, `SELECT b.bytes FROM blob b JOIN segment s ON s.id = b.segment
			WHERE s.id = ? AND s.checksum = ?`, info.id, info.checksum).Scan(&raw)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", info.place(), explain(err))
		}
		return raw, nil
	}
	file, err := c.fs.Open(filepath.Join(c.dir, filepath.FromSlash(info.file)))
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	raw, err := io.ReadAll(file)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("read segment %s: %w", info.file, err)
	}
	return raw, nil
}

// put keeps a segment that was just written, so that it need not be read again.
func (c *cache) put(info *segmentInfo, b *segment.Block) {
	c.release(c.keep(&cached{key: info.key(), reader: memory{b}, bytes: b.MemoryBytes()}))
}

// keep takes an entry in, in use by the caller, unless another was faster.
func (c *cache) keep(entry *cached) *cached {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[entry.key]; ok {
		entry.gone = true
		c.close(entry)
		other := e.Value.(*cached)
		other.users++
		return other
	}
	entry.users++
	c.entries[entry.key] = c.recent.PushFront(entry)
	c.bytes += entry.bytes
	if entry.file != nil {
		c.handles++
	}
	c.trim(entry)
	return entry
}

// trim drops the least recently used entries but one until what is kept is within its limits. Needs mu.
func (c *cache) trim(but *cached) {
	for e := c.recent.Back(); e != nil && (c.bytes > c.maxBytes || c.handles > c.maxFiles); {
		before := e.Prev()
		old := e.Value.(*cached)
		needless := old.bytes > 0 && c.bytes > c.maxBytes || old.file != nil && c.handles > c.maxFiles
		if needless && old != but {
			c.remove(e)
		}
		e = before
	}
}

// forget drops a segment that no state names any more.
func (c *cache) forget(info *segmentInfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[info.key()]; ok {
		c.remove(e)
	}
}

// remove needs mu.
func (c *cache) remove(e *list.Element) {
	entry := e.Value.(*cached)
	c.recent.Remove(e)
	delete(c.entries, entry.key)
	c.bytes -= entry.bytes
	if entry.file != nil {
		c.handles--
	}
	if entry.gone = true; entry.users == 0 {
		c.close(entry)
	}
}

func (*cache) close(entry *cached) {
	if entry.file != nil {
		_ = entry.file.Close() // it was only read
		entry.file = nil
	}
}

func (c *cache) release(entry *cached) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if entry.users--; entry.users == 0 && entry.gone {
		c.close(entry)
	}
	if p, ok := entry.reader.(*paged); ok && !entry.gone {
		// It may have kept dictionaries.
		kept := p.reader.MemoryBytes()
		c.bytes += kept - entry.bytes
		entry.bytes = kept
		c.trim(entry)
	}
}

// clear closes everything.
func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.recent.Front(); e != nil; e = c.recent.Front() {
		c.remove(e)
	}
}

package simfs

import (
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tapeline/tapeline/internal/vfs"
)

// Op names an operation of the file system or of a file.
type Op string

// The operations. Those that change something are counted by Operations.
const (
	OpCreate     Op = "create"
	OpOpen       Op = "open" // not counted
	OpOpenAppend Op = "open append"
	OpRename     Op = "rename"
	OpRemove     Op = "remove"
	OpMkdirAll   Op = "mkdir"
	OpList       Op = "list" // not counted
	OpStat       Op = "stat" // not counted
	OpSyncDir    Op = "sync folder"
	OpRead       Op = "read" // not counted
	OpWrite      Op = "write"
	OpTruncate   Op = "truncate"
	OpSync       Op = "sync"
	OpClose      Op = "close" // not counted
)

// ErrStopped is the error of operations that StopAt ended.
var ErrStopped = errors.New("simulated machine is stopped")

// FS is a file system in memory. Absolute and relative names are the same. Safe for concurrent use.
type FS struct {
	mu         sync.Mutex
	root       *node
	operations int
	stopAt     int // counted operations that still work; negative: all
	inject     func(op Op, name string) error
}

var _ vfs.FS = (*FS)(nil)

// New returns an empty file system.
func New() *FS { return &FS{root: newFolder(), stopAt: -1} }

// Inject calls decide before each operation, outside all locks; an error it returns is the
// operation's. A failed Write leaves the first half of its bytes, a failed Sync loses what was not
// synced, other failures change nothing. nil ends the injection.
func (f *FS) Inject(decide func(op Op, name string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inject = decide
}

// StopAt makes every counted operation after the first n of the file system's life fail.
func (f *FS) StopAt(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopAt = n
}

// Operations returns how many operations changed, or were to change, something.
func (f *FS) Operations() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.operations
}

// CrashClone returns the file system a machine may find after a crash at this instant. The old
// one is not changed: several clones may be taken.
func (f *FS) CrashClone(random *rand.Rand) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	clone := New()
	clone.root = f.root.crash(random)
	return clone
}

// begin counts an operation and asks the injections. It returns with mu held in any case.
func (f *FS) begin(op Op, name string) error {
	f.mu.Lock()
	switch op {
	case OpOpen, OpList, OpStat, OpRead, OpClose:
	default:
		f.operations++
		if f.stopAt >= 0 && f.operations > f.stopAt {
			return &fs.PathError{Op: string(op), Path: name, Err: ErrStopped}
		}
	}
	if decide := f.inject; decide != nil {
		f.mu.Unlock()
		err := decide(op, name)
		f.mu.Lock()
		if err != nil {
			return &fs.PathError{Op: string(op), Path: name, Err: err}
		}
	}
	return nil
}

// find returns the node of a name. Needs mu.
func (f *FS) find(name string) (*node, error) {
	n := f.root
	for _, element := range split(name) {
		if !n.folder {
			return nil, syscall.ENOTDIR
		}
		next, ok := n.entries[element]
		if !ok {
			return nil, fs.ErrNotExist
		}
		n = next
	}
	return n, nil
}

// parent returns the folder of a name and the name within it. Needs mu.
func (f *FS) parent(name string) (*node, string, error) {
	elements := split(name)
	if len(elements) == 0 {
		return nil, "", fs.ErrInvalid
	}
	last := len(elements) - 1
	folder, err := f.find(strings.Join(elements[:last], "/"))
	if err == nil && !folder.folder {
		err = syscall.ENOTDIR
	}
	return folder, elements[last], err
}

func split(name string) []string {
	clean := strings.Trim(path.Clean(filepath.ToSlash(name)), "/")
	if clean == "" || clean == "." {
		return nil
	}
	return strings.Split(clean, "/")
}

// Create makes or empties a file.
func (f *FS) Create(name string) (vfs.File, error) { return f.open(OpCreate, name) }

// Open opens a file for reading.
func (f *FS) Open(name string) (vfs.File, error) { return f.open(OpOpen, name) }

// OpenAppend opens a file for writing at its end.
func (f *FS) OpenAppend(name string) (vfs.File, error) { return f.open(OpOpenAppend, name) }

func (f *FS) open(op Op, name string) (vfs.File, error) {
	err := f.begin(op, name)
	defer f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	folder, last, err := f.parent(name)
	if err != nil {
		return nil, &fs.PathError{Op: string(op), Path: name, Err: err}
	}
	n, ok := folder.entries[last]
	switch {
	case ok && n.folder:
		return nil, &fs.PathError{Op: string(op), Path: name, Err: syscall.EISDIR}
	case !ok && op == OpOpen:
		return nil, &fs.PathError{Op: string(op), Path: name, Err: fs.ErrNotExist}
	case !ok:
		n = &node{modified: time.Now()}
		folder.link(link{last, n})
	case op == OpCreate && len(n.data) > 0:
		n.change(write{cut: true})
	}
	return &file{fs: f, node: n, name: name, op: op}, nil
}

// Rename moves a file over the target in one step; a folder only to a free name.
func (f *FS) Rename(from, to string) error {
	err := f.begin(OpRename, from)
	defer f.mu.Unlock()
	if err != nil {
		return err
	}
	fail := func(err error) error {
		return &fs.PathError{Op: string(OpRename), Path: from + " to " + to, Err: err}
	}
	source, sourceName, err := f.parent(from)
	if err != nil {
		return fail(err)
	}
	n, ok := source.entries[sourceName]
	if !ok {
		return fail(fs.ErrNotExist)
	}
	target, targetName, err := f.parent(to)
	if err != nil {
		return fail(err)
	}
	old, exists := target.entries[targetName]
	switch {
	case exists && old == n:
		return nil
	case exists && (old.folder || n.folder):
		return fail(fs.ErrExist)
	case source == target:
		source.link(link{sourceName, nil}, link{targetName, n})
	default:
		target.link(link{targetName, n})
		source.link(link{sourceName, nil})
	}
	return nil
}

// Remove deletes a file or an empty folder.
func (f *FS) Remove(name string) error {
	err := f.begin(OpRemove, name)
	defer f.mu.Unlock()
	if err != nil {
		return err
	}
	folder, last, err := f.parent(name)
	if err != nil {
		return &fs.PathError{Op: string(OpRemove), Path: name, Err: err}
	}
	n, ok := folder.entries[last]
	if !ok {
		return &fs.PathError{Op: string(OpRemove), Path: name, Err: fs.ErrNotExist}
	}
	if len(n.entries) > 0 {
		return &fs.PathError{Op: string(OpRemove), Path: name, Err: syscall.ENOTEMPTY}
	}
	folder.link(link{last, nil})
	return nil
}

// MkdirAll makes a folder and the missing ones above it; they survive.
func (f *FS) MkdirAll(name string) error {
	err := f.begin(OpMkdirAll, name)
	defer f.mu.Unlock()
	if err != nil {
		return err
	}
	at := f.root
	for _, element := range split(name) {
		next, ok := at.entries[element]
		if !ok {
			next = newFolder()
			at.link(link{element, next})
			at.syncEntries()
		}
		if !next.folder {
			return &fs.PathError{Op: string(OpMkdirAll), Path: name, Err: syscall.ENOTDIR}
		}
		at = next
	}
	return nil
}

// List returns the entries of a folder, sorted by name.
func (f *FS) List(name string) ([]fs.FileInfo, error) {
	err := f.begin(OpList, name)
	defer f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	n, err := f.find(name)
	if err == nil && !n.folder {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, &fs.PathError{Op: string(OpList), Path: name, Err: err}
	}
	infos := make([]fs.FileInfo, 0, len(n.entries))
	for _, entry := range slices.Sorted(maps.Keys(n.entries)) {
		infos = append(infos, newInfo(entry, n.entries[entry]))
	}
	return infos, nil
}

// Stat describes a file or folder.
func (f *FS) Stat(name string) (fs.FileInfo, error) {
	err := f.begin(OpStat, name)
	defer f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	n, err := f.find(name)
	if err != nil {
		return nil, &fs.PathError{Op: string(OpStat), Path: name, Err: err}
	}
	return newInfo(path.Base(filepath.ToSlash(name)), n), nil
}

// SyncDir makes the entries of a folder survive.
func (f *FS) SyncDir(name string) error {
	err := f.begin(OpSyncDir, name)
	defer f.mu.Unlock()
	if err != nil {
		return err
	}
	n, err := f.find(name)
	if err == nil && !n.folder {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return &fs.PathError{Op: string(OpSyncDir), Path: name, Err: err}
	}
	n.syncEntries()
	return nil
}

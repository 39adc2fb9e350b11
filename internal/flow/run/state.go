package run

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/vfs"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const (
	baseSuffix      = ".base"
	incrementSuffix = ".increment"
)

func isStateObject(name string) bool {
	return strings.HasSuffix(name, baseSuffix) || strings.HasSuffix(name, incrementSuffix) ||
		strings.HasSuffix(name, redoSuffix)
}

// stateSnapshot is what one operator's state changed in an epoch.
type stateSnapshot struct {
	node *plan.Node
	base bool
	data []byte
}

// saveState writes a snapshot as an object of its own and returns the node's new history: synced.
func (a *attempt) saveState(s stateSnapshot, epoch uint64) (stateHistory, error) {
	kind := incrementSuffix
	if s.base {
		kind = baseSuffix
	}
	object := stateObject{
		// The fence keeps a process that lost its lease from writing over its successor's.
		Name: fmt.Sprintf("%s-%s-%d-%d%s", a.workflow.record.ID, s.node.ID, epoch,
			a.workflow.lease.Fence(), kind),
		Bytes: int64(len(s.data)), CRC32C: crc32.Checksum(s.data, castagnoli),
	}
	dir := a.workflow.stateDir()
	files := a.workflow.cluster.config.FS
	if err := files.MkdirAll(dir); err != nil {
		return stateHistory{}, fmt.Errorf("make state folder: %w", err)
	}
	if err := writeObject(files, filepath.Join(dir, object.Name), s.data); err != nil {
		return stateHistory{}, fmt.Errorf("save state of %s: %w", s.node.ID, err)
	}
	if err := files.SyncDir(dir); err != nil {
		return stateHistory{}, fmt.Errorf("save state of %s: %w", s.node.ID, err)
	}
	if s.base {
		return stateHistory{Base: object}, nil
	}
	history := a.stateHistory(s.node)
	increments := append([]stateObject(nil), history.Increments...)
	return stateHistory{Base: history.Base, Increments: append(increments, object)}, nil
}

func writeObject(files vfs.FS, name string, data []byte) error {
	f, err := files.Create(name)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

func (a *attempt) stateHistory(n *plan.Node) stateHistory { return a.manifest.States[n.ID] }

// loadState reads a node's base and increments and checks their sums.
func (a *attempt) loadState(n *plan.Node) (base []byte, increments [][]byte, err error) {
	history := a.stateHistory(n)
	if history.empty() {
		return nil, nil, nil
	}
	if base, err = a.loadObject(history.Base); err != nil {
		return nil, nil, err
	}
	for _, o := range history.Increments {
		data, err := a.loadObject(o)
		if err != nil {
			return nil, nil, err
		}
		increments = append(increments, data)
	}
	return base, increments, nil
}

func (a *attempt) loadObject(o stateObject) ([]byte, error) {
	name := filepath.Join(a.workflow.stateDir(), o.Name)
	f, err := a.workflow.cluster.config.FS.Open(name)
	if err != nil {
		return nil, fmt.Errorf("state object: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("state object: %w", err)
	}
	if int64(len(data)) != o.Bytes || crc32.Checksum(data, castagnoli) != o.CRC32C {
		return nil, unresumable("state object %s is damaged: it has %d bytes, its manifest says %d "+
			"and another checksum", name, len(data), o.Bytes)
	}
	return data, nil
}

// sweepState deletes the state objects that the manifests do not name: those of earlier epochs and
// runs, and of epochs that a crash kept from being committed. Redo files of this run are their
// follower's, which writes to them all the time.
func (a *attempt) sweepState(manifests ...*manifest) {
	dir, files := a.workflow.stateDir(), a.workflow.cluster.config.FS
	keep := map[string]bool{}
	for _, m := range manifests {
		for _, states := range []map[string]stateHistory{m.States, m.BeganStates} {
			for _, h := range states {
				keep[h.Base.Name] = true
				for _, o := range h.Increments {
					keep[o.Name] = true
				}
			}
		}
	}
	objects, err := files.List(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.log.Warn("old state objects stay", "error", err)
	}
	for _, o := range objects {
		if o.IsDir() || !isStateObject(o.Name()) || keep[o.Name()] ||
			strings.HasSuffix(o.Name(), redoSuffix) && strings.HasPrefix(o.Name(), a.workflow.record.ID+"-") {
			continue
		}
		if err := files.Remove(filepath.Join(dir, o.Name())); err != nil {
			a.log.Warn("old state object stays", "file", o.Name(), "error", err)
		}
	}
}

package filetest

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/vfs"
	"github.com/tapeline/tapeline/internal/vfs/simfs"
)

// Job is a run of a sink into the folder out of a simulated disk.
type Job struct {
	Connector connector.Connector
	Sink      any // config; its path is below out/
	Source    any // config that reads what is visible
	Whole     bool
	Epochs    []*batch.Batch // rows of each epoch
}

// newDisk has the folder out.
func newDisk(t testing.TB) *simfs.FS {
	t.Helper()
	disk := simfs.New()
	if err := errors.Join(disk.MkdirAll("out"), disk.SyncDir("out")); err != nil {
		t.Fatal(err)
	}
	return disk
}

// committed is what an engine keeps of a run.
type committed struct {
	epoch uint64
	token []byte
}

// run goes on after the newest committed epoch and commits each to c.
func (j Job) run(t testing.TB, disk vfs.FS, c *committed) error {
	s, err := j.Connector.Sink.New(connector.Env{FS: disk}, j.Sink)
	if err != nil {
		return err
	}
	tx := s.(connector.Transactional)
	if err := tx.Open(t.Context(), task()); err != nil {
		return err
	}
	if err := tx.Recover(t.Context(), connector.Epoch{Number: c.epoch}, c.token); err != nil {
		return err
	}
	last := uint64(len(j.Epochs))
	for number := c.epoch + 1; number <= last; number++ {
		if err := j.evolve(t, s, number); err != nil {
			return err
		}
		if err := tx.Write(t.Context(), connector.Chunk{Batch: j.Epochs[number-1]}); err != nil {
			return err
		}
		epoch := connector.Epoch{Number: number, Final: number == last}
		prepared, err := tx.Prepare(t.Context(), epoch)
		if err == nil {
			err = prepared.Sync(t.Context())
		}
		if err != nil {
			return err
		}
		c.epoch, c.token = number, prepared.Token
		if err := tx.Commit(t.Context(), epoch, prepared.Token); err != nil {
			return err
		}
	}
	return tx.Close()
}

// evolve tells the sink of an epoch with other columns than the one before.
func (j Job) evolve(t testing.TB, s connector.Sink, number uint64) error {
	if number == 1 {
		return nil
	}
	from, to := j.Epochs[number-2].Schema(), j.Epochs[number-1].Schema()
	if from.Equal(to) {
		return nil
	}
	return s.(connector.SchemaEvolver).Evolve(t.Context(), from, to)
}

// Wider returns the job with a further column in the second half of its epochs.
func (j Job) Wider() Job {
	j.Epochs = slices.Clone(j.Epochs)
	for i := len(j.Epochs) / 2; i < len(j.Epochs); i++ {
		b := j.Epochs[i]
		fields := append(slices.Clone(b.Schema().Fields()),
			batch.Field{Name: "more", Type: batch.Of(batch.String), Nullable: true})
		more := batch.NewAppender(batch.Of(batch.String))
		for row := range b.Rows() {
			more.Text(fmt.Sprint("more ", row))
		}
		columns := append(slices.Clone(b.Columns()), more.Column())
		j.Epochs[i] = b.WithColumns(batch.NewSchema(fields...), columns)
	}
	return j
}

// visible reads what a consumer sees.
func (j Job) visible(t testing.TB, disk vfs.FS) []string {
	t.Helper()
	out, err := Read(t, Env(disk), j.Connector, j.Source, connector.Partition{}, nil)
	if err != nil && !strings.Contains(err.Error(), "no file matches") {
		t.Fatal(err)
	}
	return out.Rows
}

// Crashes stops the disk at every change, recovers and goes on: the result is the undisturbed one,
// and what is visible before is whole epochs or, with Whole, all or nothing.
func (j Job) Crashes(t *testing.T) {
	t.Helper()
	want := Lines(j.Epochs...)
	undisturbed := newDisk(t)
	start := undisturbed.Operations()
	if err := j.run(t, undisturbed, &committed{}); err != nil {
		t.Fatal(err)
	}
	if diff := Diff(want, j.visible(t, undisturbed)); diff != "" {
		t.Fatalf("%+v: %.2000s", j.Sink, diff)
	}
	noneHidden(t, undisturbed)
	boundary := map[int]bool{0: true, len(want): true}
	for n := range j.Epochs {
		boundary[len(Lines(j.Epochs[:n]...))] = !j.Whole || n == 0
	}
	for stop := start; stop < undisturbed.Operations(); stop++ {
		disk := newDisk(t)
		disk.StopAt(stop)
		var c committed
		if err := j.run(t, disk, &c); !errors.Is(err, simfs.ErrStopped) {
			t.Fatalf("%+v stopped at %d: %v", j.Sink, stop, err)
		}
		clone := disk.CrashClone(rand.New(rand.NewPCG(uint64(stop), 7)))
		if rows := len(j.visible(t, clone)); !boundary[rows] {
			t.Fatalf("%+v stopped at %d: %d rows are visible", j.Sink, stop, rows)
		}
		if err := j.run(t, clone, &c); err != nil {
			t.Fatalf("%+v stopped at %d, epoch %d: %v", j.Sink, stop, c.epoch, err)
		}
		if diff := Diff(want, j.visible(t, clone)); diff != "" {
			t.Fatalf("%+v stopped at %d: %.2000s", j.Sink, stop, diff)
		}
		if noneHidden(t, clone); t.Failed() {
			t.Fatalf("%+v stopped at %d", j.Sink, stop)
		}
	}
}

func noneHidden(t testing.TB, disk vfs.FS) {
	t.Helper()
	for _, name := range names(t, disk) {
		if strings.HasPrefix(name, ".") {
			t.Errorf("%s is left over", name)
		}
	}
}

func names(t testing.TB, disk vfs.FS) (names []string) {
	t.Helper()
	entries, err := disk.List("out")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// DiskFull fails every third operation that writes: a repeated write doubles and loses nothing.
func (j Job) DiskFull(t *testing.T) {
	t.Helper()
	disk := newDisk(t)
	tx := Open(t, Env(disk), j.Connector, j.Sink, 0, nil)
	failed, n := 0, 0
	disk.Inject(func(op simfs.Op, _ string) error {
		if n++; op == simfs.OpWrite && n%3 == 0 {
			return syscall.ENOSPC
		}
		return nil
	})
	for _, b := range j.Epochs {
		err := errors.New("not written")
		for tries := 0; err != nil; tries++ {
			if tries > 100 {
				t.Fatal(err)
			}
			err = tx.Write(t.Context(), connector.Chunk{Batch: b})
			if e, ok := errors.AsType[*connector.Error](err); err != nil && (!ok || e.Class != connector.Transient) {
				t.Fatal(err)
			}
			if err != nil {
				failed++
			}
		}
	}
	disk.Inject(nil)
	Commit(t, tx, connector.Epoch{Number: 1, Final: true})
	if diff := Diff(Lines(j.Epochs...), j.visible(t, disk)); diff != "" || failed == 0 {
		t.Errorf("%+v: %d writes failed: %.2000s", j.Sink, failed, diff)
	}
}

// NoRows ends runs without rows: whatever came, the target of an earlier run is replaced by a file
// that reads as no rows of the schema that Epochs[0] has; known false: nobody told the columns.
func (j Job) NoRows(t *testing.T, known bool) (*batch.Schema, error) {
	t.Helper()
	disk := newDisk(t)
	if j.Whole {
		Write(t, Env(disk), j.Connector, j.Sink, j.Epochs[0])
	}
	tx := Open(t, Env(disk), j.Connector, j.Sink, 0, nil)
	if known {
		if err := tx.Write(t.Context(), connector.Chunk{Batch: j.Epochs[0].Select(nil)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := commit(t, tx, connector.Epoch{Number: 1, Final: true}); err != nil {
		return nil, errors.Join(err, tx.Close())
	}
	if rows := j.visible(t, disk); len(rows) > 0 {
		t.Errorf("%+v: %d rows are visible after a run without rows", j.Sink, len(rows))
	}
	if err := tx.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := j.Connector.Source.New(Env(disk), j.Source)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	return s.(connector.Discoverer).Discover(t.Context())
}

// Fuzz gives a source a file of the given bytes: whatever they are, it ends with rows or a classified
// error.
func Fuzz(t testing.TB, c connector.Connector, config any, name string, data []byte) {
	t.Helper()
	disk := simfs.New()
	file, err := disk.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(data); err != nil {
		t.Fatal(err)
	}
	// A few damaged bytes may claim millions of rows; more of the same tell nothing new.
	const most = 1000
	env := Limited(disk, connector.Limits{Rows: 100, Bytes: 1 << 20})
	if _, err := readUpTo(t, most, env, c, config, connector.Partition{}, nil); err != nil {
		if _, ok := errors.AsType[*connector.Error](err); !ok {
			t.Errorf("unclassified: %v", err)
		}
	}
}

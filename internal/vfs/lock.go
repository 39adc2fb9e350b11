package vfs

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// Lock gives a folder one writer at a time: the operating system holds it for one open file, so that it
// ends with its process. The file's text says who has it, and is only shown. It is of real files alone.
type Lock struct{ file *os.File }

// HeldError says who has the lock.
type HeldError struct {
	Holder string    `json:"holder"` // as given to TakeLock
	PID    int       `json:"pid"`
	Host   string    `json:"host"`
	Since  time.Time `json:"since"`
}

// Error names the holder.
func (e *HeldError) Error() string {
	return fmt.Sprintf("%s (process %d on %s, since %s)", e.Holder, e.PID, e.Host, e.Since.Local().Format(time.DateTime))
}

// TakeLock takes the lock of a file, which is made where it is missing and stays. *HeldError: another has it.
func TakeLock(path, holder string) (*Lock, error) {
	const perm = 0o644
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, perm)
	if err != nil {
		return nil, err
	}
	held, err := tryLock(file)
	if err == nil && !held {
		err = heldBy(path)
	}
	if err == nil {
		err = sign(file, holder)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &Lock{file}, nil
}

// sign writes who has the lock.
func sign(file *os.File, holder string) error {
	host, _ := os.Hostname() // only shown
	text, err := json.Marshal(HeldError{holder, os.Getpid(), host, time.Now()})
	if err == nil {
		err = file.Truncate(0)
	}
	if err == nil {
		_, err = file.WriteAt(text, 0)
	}
	return err
}

func heldBy(path string) error {
	e := &HeldError{Holder: "somebody"}
	var h HeldError
	if text, err := os.ReadFile(path); err == nil && json.Unmarshal(text, &h) == nil {
		e = &h
	}
	return e
}

// Release lets others take the lock.
func (l *Lock) Release() error { return l.file.Close() }

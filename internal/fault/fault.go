package fault

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"
)

// Class says what can be done about an error.
type Class uint8

// The classes.
const (
	Unknown   Class = iota // not classified: fails the task
	Transient              // the same call may succeed later
	Throttled              // the other side asks to slow down; Error.After says how long
	Permanent              // repeating cannot help
	Auth                   // credentials or permissions
	Schema                 // shape of the data and of the target disagree
	Data                   // some rows are unusable
)

// String returns the class in lower case.
func (c Class) String() string {
	names := [...]string{"unknown", "transient", "throttled", "permanent", "auth", "schema", "data"}
	if int(c) < len(names) {
		return names[c]
	}
	return "class(" + strconv.Itoa(int(c)) + ")"
}

// Retryable reports whether repeating the call may help.
func (c Class) Retryable() bool { return c == Transient || c == Throttled }

// Error is a classified failure. The zero Class is Unknown; all fields but Op may be empty.
type Error struct {
	Op    string        // operation and object: "copy into orders"
	Class Class         // decides about retries
	After time.Duration // Throttled: not before; 0 unknown
	Err   error         // the cause
	Code  string        // stable name a person can look up: "csv_ragged_row"
	Path  string        // key of the configuration it is about: "sources[0].config.path"
	Hint  string        // remedy for people
}

// Error returns "path: op: cause (hint) [code]", without what is empty.
func (e *Error) Error() string {
	parts := make([]string, 0, 3)
	for _, part := range []string{e.Path, e.Op} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	text := strings.Join(parts, ": ")
	if e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	if e.Code != "" {
		text += " [" + e.Code + "]"
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New returns a classified error.
func New(class Class, op string, err error) *Error { return &Error{Op: op, Class: class, Err: err} }

// Throttle returns a Throttled error that asks not to be repeated before after.
func Throttle(after time.Duration, op string, err error) *Error {
	return &Error{Op: op, Class: Throttled, After: after, Err: err}
}

// ClassOf returns the class of the outermost Error in err's chain, Unknown when there is none.
// A cancelled context is Unknown whatever wraps it: the caller stopped, so nothing is wrong with
// the other side. A passed deadline keeps the class it was given, as a slow server is Transient.
func ClassOf(err error) Class {
	if errors.Is(err, context.Canceled) {
		return Unknown
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	return Unknown
}

// AfterOf returns the longest wait that any Error in err's chain asks for, 0 for none.
func AfterOf(err error) time.Duration {
	var longest time.Duration
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			break
		}
		longest = max(longest, e.After)
		err = e.Err
	}
	return longest
}

// ErrEpochLost says that a sink lost the writes of the open epoch. Repeating the call would lose
// them for good, so it is never retried: the engine restores the last checkpoint.
var ErrEpochLost = errors.New("writes of the open epoch are lost")

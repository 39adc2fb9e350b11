package connector

import (
	"fmt"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/fault"
)

// Error is a classified failure of a connector: the class decides whether the engine retries.
type Error = fault.Error

// Class says what kind of failure an Error is.
type Class = fault.Class

// The classes. Only Transient and Throttled are retried; Data sends rows to the dead letters.
const (
	Unknown   = fault.Unknown
	Transient = fault.Transient
	Throttled = fault.Throttled
	Permanent = fault.Permanent
	Auth      = fault.Auth
	Schema    = fault.Schema
	Data      = fault.Data
)

// ErrEpochLost is wrapped by a sink that lost writes of the open epoch, as when a connection with
// an open transaction breaks; the engine restores the last checkpoint instead of repeating Write.
var ErrEpochLost = fault.ErrEpochLost

// PartialError is returned by Write or an EncodeFunc that took all rows but the named ones.
type PartialError struct {
	Rows []batch.RowError // by physical row of the chunk's batch, ascending
}

// Error lists the first rows.
func (e *PartialError) Error() string {
	const shown = 3
	parts := make([]string, 0, shown)
	for i, row := range e.Rows {
		if i == shown {
			parts = append(parts, "...")
			break
		}
		parts = append(parts, row.Error())
	}
	return fmt.Sprintf("%d rows refused: %s", len(e.Rows), strings.Join(parts, "; "))
}

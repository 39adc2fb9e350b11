// Package retry is the one failure policy: which errors are repeated, when, and how often.
//
// Path of one call: Policy.Do -> the operation -> fault.ClassOf -> steps.NextBackOff -> wait ->
// the operation again.
//
// Invariants: only Transient and Throttled errors are repeated, and never fault.ErrEpochLost; no
// repetition comes earlier than the error's After; the last error stays in the chain of the
// result, with its class.
//
// The package knows nothing of what it repeats. Restarting tasks and workflows is lifecycle's.
package retry

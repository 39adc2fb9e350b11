// Package credit bounds what is under way: rows, bytes or chunks between two tasks, memory of a
// process, rows per second of a pipe.
//
// Path of one grant: Pool.Acquire (waits its turn) -> the holder works -> Pool.Release -> wake
// hands the credits to the longest waiting request.
//
// Invariants: grants are first in, first out, so a large request is not starved by small ones;
// held never exceeds the capacity, except that one request larger than the whole capacity is
// granted alone, and that Resize takes nothing back; every grant is released once.
//
// The package knows nothing of what a credit stands for.
package credit

// Package flow reads files of order flow, replays them through a venue, and writes what the venue reports:
// so that anybody can compare engines.
//
// Path of a line: Reader.Next (JSON -> Entry: a command, or why it can be none) -> Replay.Run -> Shard.Submit
// in groups -> Writer (a line for each event), once it is durable. A venue that was stopped in the middle is
// gone on with: what its log holds is compared with the file, reported again, and the rest follows.
//
// Invariants: the reports of a flow are the same bytes however often the venue was stopped; a file that is
// not the one of the log is refused; a line that is no order flow ends the replay with its number.
package flow

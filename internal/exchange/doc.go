// Package exchange is a venue that never forgets an acknowledged order: books behind a write-ahead log.
//
// Path of a group of commands: Shard.Submit -> sequence and time -> book (events) -> record -> one frame of
// the log, durable -> the events are the caller's. After a crash: Open -> the same records -> the same books,
// proved by the digest of all events that each frame states.
//
// Invariants: one goroutine owns a shard; nothing but the log and the rules decides what the books hold; no
// event is handed out before the frame that holds its command is durable; after a failed write the shard
// answers nothing any more.
//
// It knows no connection, no file of orders and no feed.
package exchange

// Package wal is a write-ahead log: what Write has returned for survives a crash at any moment, and
// Open tells an end that was torn from damage to what had been acknowledged.
//
// Path of one group of records: Buffer.Extend (memory the disk takes as it is) -> Log.Write (one frame,
// one synchronous write) -> acknowledged. Back: Open -> scanner -> replay, frame by frame.
//
// A log is a folder of segments, files of one size that are zero-filled ahead of their use by Prepare and
// used again after Release. A frame starts at a block's border and states its epoch, its sequences, what
// was durable before it, and the checksum of the frame before: docs/format/wal.md has the bytes.
//
// Invariants: one write is under way at a time, so that only the last frame can be torn; a frame that is
// followed by another of its epoch was acknowledged; each Open begins a new epoch in a new segment whose
// header says where the one before ends, so that nothing behind that place is ever read again; after a
// failed write nothing is written until the log is opened anew.
//
// The records are the caller's, and so is the lock that keeps a second process out of the folder.
package wal

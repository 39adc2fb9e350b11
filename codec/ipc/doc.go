// Package ipc checks the metadata of Arrow IPC messages before arrow-go reads them: it takes the
// counts and offsets of a message as they are, and a damaged one makes it claim all memory.
//
// Path of a stream: NewReader -> Reader.Read (length -> CheckMessage -> the same bytes). Path of a
// file: OpenFile (footer, dictionaries) -> File.CheckRecord before each record batch is read.
//
// Invariants: what passed has no offset outside its message, no count above what the message
// holds, no cycle and bounded depth. Bodies are not looked at.
//
// The package knows no connector and holds no Arrow type.
package ipc

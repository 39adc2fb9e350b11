// Package vfs is the small file system under every durable package, so that tests can crash it.
//
// Path of one durable file: FS.Create -> File.Write -> File.Sync (its bytes survive) -> FS.Rename
// -> FS.SyncDir of the folder (its name survives). Without the last step a crash may bring back
// the old name, or none.
//
// Invariants: names are OS paths; all errors are *fs.PathError or *os.LinkError, so that
// errors.Is(err, fs.ErrNotExist) holds; each method says which durability word it guarantees.
//
// OS is the real file system, simfs the crashable one. The package knows no file format.
package vfs

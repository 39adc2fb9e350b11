package filesink

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/tapeline/tapeline/connector"
)

// openError classifies a failure of reading or finding a file.
func openError(op string, err error) error {
	out := &connector.Error{Op: op, Class: connector.Permanent, Err: err, Path: "path"}
	switch {
	case errors.Is(err, fs.ErrPermission):
		out.Class, out.Hint = connector.Auth, "give the process the right to read it"
	case errors.Is(err, fs.ErrNotExist):
		out.Hint = "check the path; it is relative to the folder the process runs in"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		out.Class, out.Hint = connector.Transient, "raise the limit of open files (ulimit -n)"
	case errors.Is(err, syscall.EINTR), errors.Is(err, syscall.ESTALE):
		out.Class = connector.Transient
	}
	return out
}

// writeError classifies a failure of writing, syncing or publishing a file. A full disk is
// Transient: space may be made while the engine waits.
func writeError(op string, err error) error {
	if err == nil {
		return nil
	}
	out := &connector.Error{Op: op, Class: connector.Permanent, Err: err, Path: "path"}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		out.Class, out.Code = connector.Transient, "disk_full"
		out.Hint = "make room on that file system, or write elsewhere; the target is untouched"
	case errors.Is(err, fs.ErrPermission):
		out.Class, out.Hint = connector.Auth, "give the process the right to write in that folder"
	case errors.Is(err, syscall.EROFS):
		out.Hint = "the file system is read-only; write elsewhere"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		out.Class, out.Hint = connector.Transient, "raise the limit of open files (ulimit -n)"
	case errors.Is(err, syscall.EINTR), errors.Is(err, syscall.ESTALE):
		out.Class = connector.Transient
	case errors.Is(err, syscall.EFBIG):
		out.Hint = "the file is larger than the file system or ulimit -f allows; use a folder path"
	}
	return out
}

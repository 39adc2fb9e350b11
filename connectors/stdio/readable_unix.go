//go:build unix

package stdio

import (
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// readable waits until a read from input would not block, at most for wait; input that is no file
// is taken to be ready.
func readable(input io.Reader, wait time.Duration) bool {
	file, ok := input.(*os.File)
	if !ok {
		return true
	}
	fds := []unix.PollFd{{Fd: int32(file.Fd()), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, int(wait.Milliseconds()))
	if err != nil {
		return err != unix.EINTR // the read tells what is wrong
	}
	return n > 0
}

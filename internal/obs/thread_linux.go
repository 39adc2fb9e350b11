package obs

import (
	"syscall"
	"time"
)

// ThreadCPU returns the processor time of the calling thread; false: the system does not tell. The caller
// has locked its goroutine to the thread.
func ThreadCPU() (time.Duration, bool) {
	const thread = 1 // RUSAGE_THREAD
	var r syscall.Rusage
	if err := syscall.Getrusage(thread, &r); err != nil {
		return 0, false
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()), true
}

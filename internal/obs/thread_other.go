//go:build !linux

package obs

import "time"

// ThreadCPU returns the processor time of the calling thread; false: the system does not tell. The caller
// has locked its goroutine to the thread.
func ThreadCPU() (time.Duration, bool) { return 0, false }

//go:build unix

package obs

import (
	"fmt"
	"runtime"
	"syscall"
	"time"
)

func systemUsage() (Usage, error) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return Usage{}, fmt.Errorf("read the process's usage: %w", err)
	}
	const block = 512
	unit := int64(1 << 10)
	if runtime.GOOS == "darwin" {
		unit = 1
	}
	return Usage{
		CPU:       time.Duration(r.Utime.Nano() + r.Stime.Nano()),
		PeakBytes: int64(r.Maxrss) * unit,                                         //nolint:unconvert // 32 bits on some systems
		ReadBytes: int64(r.Inblock) * block, WriteBytes: int64(r.Oublock) * block, //nolint:unconvert // likewise
	}, nil
}

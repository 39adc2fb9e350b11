package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// memory is memory of the machine that was used a moment ago. A virtual machine gives what lies
// free back to its host; the first write to a page that has to be fetched again was ten times as
// slow here (0.4 against 5 GB/s), and fell on whichever tool came next. Held while the machine is
// made ready and freed just before the clock starts, it is what the tool finds.
type memory struct{ file *os.File }

// takeMemory writes sizeBytes to a file that lies in memory only. It is no part of the runner's own
// size, which a child would inherit as its peak.
func takeMemory(sizeBytes int64) (*memory, error) {
	const pieceBytes = 1 << 20
	fd, err := unix.MemfdCreate("bench", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("take memory: %w", err)
	}
	m := &memory{file: os.NewFile(uintptr(fd), "memory")}
	piece := make([]byte, pieceBytes)
	for ; sizeBytes > 0; sizeBytes -= pieceBytes {
		if _, err := m.file.Write(piece); err != nil {
			return nil, errors.Join(fmt.Errorf("take memory: %w", err), m.free())
		}
	}
	return m, nil
}

// free gives the memory back to the machine.
func (m *memory) free() error { return m.file.Close() }

package cli

import (
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// screen is standard error. On a terminal it has a panel at its end that is redrawn in place; what
// is written meanwhile goes above the panel.
type screen struct {
	terminal bool
	size     func() (width, height int)

	mu    sync.Mutex // held while writing: the panel and what is written must not mix
	out   io.Writer
	panel []string // the lines shown now
}

func newScreen(file *os.File) *screen {
	fd := int(file.Fd())
	return &screen{
		out: file, terminal: term.IsTerminal(fd) && os.Getenv("TERM") != "dumb",
		size: func() (int, int) {
			width, height, err := term.GetSize(fd)
			if err != nil || width < 20 || height < 3 {
				return 80, 24
			}
			return width, height
		},
	}
}

// Write writes above the panel.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.panel) == 0 {
		return s.out.Write(p)
	}
	// One write, so that nothing flickers.
	end := ""
	if len(p) > 0 && p[len(p)-1] != '\n' {
		end = "\n"
	}
	if _, err := io.WriteString(s.out, s.erased()+string(p)+end+s.drawn()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// show replaces the panel; no lines remove it. Lines are cut to the width of the terminal, and their
// number to its height.
func (s *screen) show(lines []string) {
	width, height := s.size()
	lines = append([]string(nil), lines[:min(len(lines), height-1)]...)
	for i, line := range lines {
		if runes := []rune(line); len(runes) >= width {
			lines[i] = string(runes[:width-2]) + "…"
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.erased()
	s.panel = lines
	_, _ = io.WriteString(s.out, text+s.drawn()) // a terminal that is gone shows nothing
}

// erased returns what removes the panel, with the cursor where it began.
func (s *screen) erased() string {
	if len(s.panel) == 0 {
		return ""
	}
	return strings.Repeat("\x1b[A", len(s.panel)) + "\r\x1b[J"
}

func (s *screen) drawn() string {
	if len(s.panel) == 0 {
		return ""
	}
	return strings.Join(s.panel, "\n") + "\n"
}

package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
)

// logger prints the engine's log: warnings, or everything with --verbose. The DDL of tables that a
// sink makes is always shown, restarts as sentences.
func (s *session) logger() *slog.Logger {
	level := slog.LevelWarn
	if s.verbose {
		level = slog.LevelDebug
	}
	text := slog.NewTextHandler(s.errors, &slog.HandlerOptions{Level: level})
	if s.quiet || s.verbose {
		return slog.New(text)
	}
	return slog.New(&ddlHandler{Handler: text, out: s.errors})
}

// ddlHandler prints records that carry DDL as the statement itself, and restarts as sentences.
type ddlHandler struct {
	slog.Handler
	out io.Writer
}

// Enabled lets records of level info through to Handle, which picks those with DDL.
func (h *ddlHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo
}

// Handle prints the record's DDL, a restart as a sentence, or the record where its level is shown.
func (h *ddlHandler) Handle(ctx context.Context, r slog.Record) error {
	attrs := map[string]slog.Value{}
	r.Attrs(func(a slog.Attr) bool {
		attrs[a.Key] = a.Value
		return true
	})
	if ddl, ok := attrs["ddl"]; ok {
		_, err := fmt.Fprintf(h.out, "%s;\n", ddl)
		return err
	}
	if restart, ok := attrs["restart"]; ok {
		_, err := fmt.Fprintf(h.out, "retrying in %s (restart %s): %s\n", attrs["delay"], restart, attrs["error"])
		return err
	}
	if !h.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs returns the handler with attributes.
func (h *ddlHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &ddlHandler{Handler: h.Handler.WithAttrs(attrs), out: h.out}
}

// WithGroup returns the handler with a group.
func (h *ddlHandler) WithGroup(name string) slog.Handler {
	return &ddlHandler{Handler: h.Handler.WithGroup(name), out: h.out}
}

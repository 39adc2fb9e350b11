package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/tapeline/tapeline/internal/market"
)

// Alias is a code of an instrument beside the one its rows are read back under.
type Alias struct {
	Symbol string // that of the rows
	Code   string
	Valid  market.Interval
}

// Aliases returns the dated codes of all instruments, in order of symbol and date.
func (v *View) Aliases() []Alias { return v.store.symbols.aliases() }

// Codes sums up the codes that instruments have beside their first; "": none has one. When it changes, rows are
// read back under other codes.
func (v *View) Codes() string {
	aliases := v.Aliases()
	if len(aliases) == 0 {
		return ""
	}
	sum := sha256.Sum256(fmt.Append(nil, aliases))
	return hex.EncodeToString(sum[:])
}

func (s *symbols) aliases() []Alias {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var list []Alias
	for code, known := range s.byText {
		for _, a := range known {
			if symbol := s.texts[a.instrument-1]; symbol != code {
				list = append(list, Alias{Symbol: symbol, Code: code, Valid: a.valid})
			}
		}
	}
	slices.SortFunc(list, func(a, b Alias) int {
		return cmp.Or(cmp.Compare(a.Symbol, b.Symbol), cmp.Compare(a.Valid.From, b.Valid.From), cmp.Compare(a.Code, b.Code))
	})
	return list
}

// Rename gives an instrument another code, under which all its rows are read back from now on; the one
// it had names it still on dates up to until. A code that is an instrument's already is refused. Committed.
func (w *Writer) Rename(ctx context.Context, symbol, code string, until market.Date) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.store
	if err := w.beginCode(ctx, code); err != nil {
		return err
	}
	id := s.symbols.named(symbol)
	if id == 0 {
		return fmt.Errorf("rename %s to %s: %w: %s", symbol, code, ErrUnknown, symbol)
	}
	if s.symbols.taken(code, always()) {
		return fmt.Errorf("rename %s to %s: the new code names an instrument already", symbol, code)
	}
	return w.endCode(ctx, func(t *transaction) {
		t.one(fmt.Errorf("%w: instrument %d is not %s", ErrCorrupt, id, symbol),
			`UPDATE instrument SET symbol = ? WHERE id = ? AND symbol = ?`, code, id, symbol)
		t.exec(`INSERT INTO alias (symbol, valid_from, valid_to, instrument) VALUES (?, ?, ?, ?)`,
			symbol, market.MinDate, until, id)
	})
}

// beginCode makes sure that a code may be given, and that what codes name is known. Needs mu.
func (w *Writer) beginCode(ctx context.Context, code string) error {
	if err := w.usable(); err != nil {
		return err
	}
	if _, err := market.ParseSymbol(code); err != nil {
		return err
	}
	_, err := w.store.refresh(ctx)
	return err
}

// endCode changes in one transaction what codes name, while nobody else is the writer. Needs mu.
func (w *Writer) endCode(ctx context.Context, write func(t *transaction)) error {
	err := w.store.catalog.change(ctx, func(ctx context.Context, tx *sql.Conn) error {
		t := &transaction{ctx: ctx, tx: tx}
		write(t)
		t.one(fmt.Errorf("%w: another process has taken the writer lock", ErrFenced),
			`UPDATE meta SET changes = changes + 1 WHERE token = ?`, w.token)
		return t.err
	})
	if err == nil {
		err = w.store.reopen(ctx)
	}
	return err
}

// named returns the instrument whose rows are read back under a code; 0: none.
func (s *symbols) named(code string) int32 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, a := range s.byText[code] {
		if s.texts[a.instrument-1] == code {
			return a.instrument
		}
	}
	return 0
}

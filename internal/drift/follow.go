package drift

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

// Later is what a file source knows of a file behind its first.
type Later struct {
	File string
	Own  *batch.Schema // columns of the file
	// Only are the columns to deliver, however many there are; none: all.
	Only []string
	// Guessed says that types are a guess from some records of text: a column keeps the first
	// file's type unless the file's own holds all of its values.
	Guessed bool
}

// Follow returns the columns of a later file's rows: those of the first file in its order, nullable
// where the file lacks them, then those that only the file has. What becomes of the difference is the
// sink's to decide. Where there is none the answer is first itself, so it depends on these two files
// alone and a resumed run gives it again. A file with none of the first one's columns is refused: it
// is hardly meant.
func Follow(first *batch.Schema, l Later) (*batch.Schema, error) {
	if l.Own == first || l.Own.Equal(first) {
		return first, nil
	}
	fields := slices.Clone(first.Fields())
	common := 0
	for i := range fields {
		at := l.Own.Index(fields[i].Name)
		if at < 0 {
			fields[i].Nullable = true
			continue
		}
		common++
		own := l.Own.Field(at)
		if !l.Guessed || Widens(fields[i].Type, own.Type) {
			fields[i] = own
		}
	}
	if common == 0 && first.Len() > 0 && l.Own.Len() > 0 {
		return nil, &connector.Error{
			Op: "read " + l.File, Class: connector.Schema, Code: "other_columns",
			Err: fmt.Errorf("none of its columns (%s) is in the first file, which has (%s)",
				strings.Join(l.Own.Names(), ", "), strings.Join(first.Names(), ", ")),
			Hint: "narrow path, or read files of other columns by a source of their own",
		}
	}
	for _, f := range l.Own.Fields() {
		if first.Index(f.Name) < 0 && len(l.Only) == 0 {
			f.Nullable = true
			fields = append(fields, f)
		}
	}
	if followed := batch.NewSchema(fields...); !followed.Equal(first) {
		return followed, nil
	}
	return first, nil
}

package container

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

// Inspect opens a file for as long as look looks at it, under Guard.
func Inspect(fsys connector.FS, name string, look func(f *File) error) error {
	f, err := OpenFile(fsys, name)
	if err != nil {
		return err
	}
	err = Guard(name, func() error { return look(f) })
	return errors.Join(err, f.Close())
}

// Project narrows a file's schema to the configured columns; none means all.
func Project(all *batch.Schema, columns []string, name string) (*batch.Schema, error) {
	if len(columns) == 0 {
		return all, nil
	}
	fields := make([]batch.Field, len(columns))
	for i, column := range columns {
		at := all.Index(column)
		if at < 0 {
			return nil, &connector.Error{
				Op: "read " + name, Class: connector.Schema, Path: fmt.Sprintf("columns[%d]", i),
				Err: fmt.Errorf("the file has no column %q; it has %s",
					column, strings.Join(all.Names(), ", ")),
			}
		}
		fields[i] = all.Field(at)
	}
	return batch.NewSchema(fields...), nil
}

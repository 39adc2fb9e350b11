package container

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/tapeline/tapeline/connector"
)

// Guard calls read and turns what is wrong with the file's content, panics of its library
// included, into a Data error that names the file. io.EOF and classified errors stay as they are;
// failures of the file system stay unclassified.
func Guard(file string, read func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = Corrupt(file, fmt.Errorf("its reader gave up: %v", r))
		}
	}()
	err = read()
	var classified *connector.Error
	var system *fs.PathError
	switch {
	case err == nil, err == io.EOF, errors.As(err, &classified): //nolint:errorlint // only the bare end
		return err
	case errors.As(err, &system):
		return fmt.Errorf("read %s: %w", file, err)
	case errors.Is(err, io.EOF):
		// An end in the midst of something must not pass for the end of the rows.
		err = errors.New(err.Error())
	}
	return Corrupt(file, err)
}

// Corrupt returns the Data error of a file whose content cannot be read.
func Corrupt(file string, cause error) error {
	return &connector.Error{
		Op: "read " + file, Class: connector.Data, Code: "file_corrupt", Err: cause,
		Hint: "check that the file is complete and of the format its source reads",
	}
}

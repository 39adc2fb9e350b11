package filesink

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/vfs"
)

// wildcards are what makes a path a glob.
const wildcards = `*?[`

// Expand returns the files of the path or glob, sorted by name. None is a Permanent error that
// names the pattern and the folder that was searched; hidden files match only a pattern that
// begins with a dot, and the hidden parts of a sink none.
func (c *SourceConfig) Expand(fsys vfs.FS) ([]string, error) {
	if !strings.ContainsAny(c.Path, wildcards) {
		return expandPlain(fsys, c.Path)
	}
	// A file may be named like a pattern.
	if info, err := fsys.Stat(c.Path); err == nil && !info.IsDir() {
		return []string{c.Path}, nil
	}
	path := filepath.ToSlash(c.Path)
	folder, rest := splitPattern(path)
	if _, err := filepath.Match(rest, ""); err != nil {
		return nil, &connector.Error{
			Op: "glob " + c.Path, Class: connector.Permanent, Err: err, Path: "path",
			Hint: "a [ needs its ]; write \\[ for the character itself",
		}
	}
	var found []string
	err := matchBelow(fsys, folder, strings.Split(rest, "/"), &found)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, openError("list "+folder, err)
	}
	if len(found) == 0 {
		what := ""
		if err != nil {
			what = ", which does not exist"
		}
		return nil, &connector.Error{
			Op: "glob " + c.Path, Class: connector.Permanent, Path: "path",
			Err: fmt.Errorf("no file matches %q in folder %q%s", rest, folder, what),
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

func expandPlain(fsys vfs.FS, path string) ([]string, error) {
	info, err := fsys.Stat(path)
	if err != nil {
		return nil, openError("open "+path, err)
	}
	if info.IsDir() {
		return nil, &connector.Error{
			Op: "open " + path, Class: connector.Permanent, Path: "path",
			Err:  errors.New("is a folder"),
			Hint: "name its files: " + filepath.Join(path, "*"),
		}
	}
	return []string{path}, nil
}

// splitPattern splits before the first element with a wildcard.
func splitPattern(path string) (folder, rest string) {
	at := strings.IndexAny(path, wildcards)
	slash := strings.LastIndexByte(path[:at], '/')
	switch {
	case slash < 0:
		return ".", path
	case slash == 0:
		return "/", path[1:]
	}
	return path[:slash], path[slash+1:]
}

// matchBelow adds the files below folder that match the elements of a pattern.
func matchBelow(fsys vfs.FS, folder string, elements []string, found *[]string) error {
	entries, err := fsys.List(folder)
	if err != nil {
		return err
	}
	element, last := elements[0], len(elements) == 1
	if element == "**" {
		if last {
			elements = []string{"**", "*"}
		}
		if err := matchBelow(fsys, folder, elements[1:], found); err != nil {
			return err
		}
	}
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") && (!strings.HasPrefix(element, ".") || strings.HasSuffix(name, hiddenSuffix)) {
			continue
		}
		path := filepath.Join(folder, name)
		directory := entry.IsDir()
		if entry.Mode()&fs.ModeSymlink != 0 {
			info, err := fsys.Stat(path)
			directory = err == nil && info.IsDir()
		}
		switch matched, _ := filepath.Match(element, name); {
		case element == "**" && directory:
			if err := matchBelow(fsys, path, elements, found); err != nil {
				return err
			}
		case element != "**" && matched && last && !directory:
			*found = append(*found, path)
		case element != "**" && matched && !last && directory:
			if err := matchBelow(fsys, path, elements[1:], found); err != nil {
				return err
			}
		}
	}
	return nil
}

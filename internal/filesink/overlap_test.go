package filesink

import "testing"

func TestOverlaps(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		glob, files string
		want        bool
	}{
		"all of the folder":     {"/out/*.csv", "/out/part-*.csv", true},
		"all parts":             {"/out/part-*", "/out/part-*.csv", true},
		"some parts":            {"/out/*0001.csv", "/out/part-*.csv", true},
		"by class":              {"/out/[p-q]art-?*.[^x]sv", "/out/part-*.csv", true},
		"above, at any depth":   {"/**/*.csv", "/out/a/part-*.csv", true},
		"folders by pattern":    {"/o*/?/*.csv", "/out/a/part-*.csv", true},
		"the folder itself":     {"/out/**", "/out/part-*.csv", true},
		"a file":                {"/in/*.csv", "/in/all.csv", true},
		"escaped":               {`/in/a\*[c]`, "/in/a.c", false},
		"another name":          {"/out/2024-*.csv", "/out/part-*.csv", false},
		"another ending":        {"/out/*.csv", "/out/part-*.parquet", false},
		"compressed":            {"/out/*.csv", "/out/part-*.csv.gz", false},
		"too short":             {"/out/part-.csv?", "/out/part-*.csv", false},
		"another folder":        {"/in/*.csv", "/out/part-*.csv", false},
		"a longer folder":       {"/out/*.csv", "/out2/part-*.csv", false},
		"below, not at depth":   {"/out/*.csv", "/out/a/part-*.csv", false},
		"a hidden folder":       {"/**/*.csv", "/out/.a/part-*.csv", false},
		"a hidden file":         {"/out/*", "/out/.all.csv", false},
		"a hidden file, wanted": {"/out/.*", "/out/.all.csv", true},
	} {
		same := func(path string) string { return path }
		if got := Overlaps(c.glob, c.files, same); got != c.want {
			t.Errorf("%s: %s and %s: %t", name, c.glob, c.files, got)
		}
	}
}

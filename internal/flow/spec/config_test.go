package spec

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

type configSample struct {
	Sync struct {
		BatchSize int      `yaml:"batch_size" min:"1" max:"100" doc:"symbols"`
		Parallel  bool     `yaml:"parallel" doc:"several workers"`
		Datasets  []string `yaml:"datasets" doc:"what"`
		Name      string   `yaml:"name" doc:"which"`
	} `yaml:"sync" doc:"a section"`
}

func sample() *configSample {
	c := &configSample{}
	c.Sync.BatchSize, c.Sync.Parallel = 50, true
	return c
}

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "tapeline.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func variables(pairs ...string) Options {
	return Options{Lookup: func(name string) (string, bool) {
		if i := slices.Index(pairs, name); i >= 0 {
			return pairs[i+1], true
		}
		return "", false
	}}
}

func TestConfigLayers(t *testing.T) {
	first := writeConfig(t, "sync: {batch_size: 10, name: first}\n")
	second := writeConfig(t, "sync:\n  name: ${WHO}\n")
	c := sample()
	problems := Config([]string{first, second}, "APP", c, variables(
		"WHO", "second", "APP_SYNC_BATCH_SIZE", "20", "APP_SYNC_DATASETS", "a, b"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	got := c.Sync
	if got.BatchSize != 20 || !got.Parallel || got.Name != "second" || !slices.Equal(got.Datasets, []string{"a", "b"}) {
		t.Errorf("got %+v; want 20 and [a b] of the environment, second of the second file, and the default", got)
	}
}

func TestConfigProblems(t *testing.T) {
	file := writeConfig(t, "sync:\n  batch_sise: 10\n  parallel: 3\n")
	for _, test := range []struct {
		files []string
		env   []string
		want  []string
	}{
		{[]string{file}, nil, []string{
			file + ":2:3: error: sync.batch_sise: unknown key", "did you mean batch_size?",
			file + `:3:13: error: sync.parallel: "3" is not a boolean`,
		}},
		{nil, []string{"APP_SYNC_BATCH_SIZE", "500"}, []string{
			`APP_SYNC_BATCH_SIZE:1:1: error: sync.batch_size: "500" is above the greatest value 100`,
		}},
		{[]string{"missing.yaml"}, nil, []string{"missing.yaml: error: read: open missing.yaml"}},
		{[]string{writeConfig(t, "- a\n")}, nil, []string{":1:1: error: want a mapping, got a list"}},
	} {
		var text strings.Builder
		for _, problem := range Config(test.files, "APP", sample(), variables(test.env...)) {
			text.WriteString(problem.String() + "\n")
		}
		for _, want := range test.want {
			if !strings.Contains(text.String(), want) {
				t.Errorf("%v %v: got\n%s\nwant %q in it", test.files, test.env, text.String(), want)
			}
		}
	}
}

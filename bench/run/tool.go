package main

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// job is what a tool is asked to do in one run. Paths are absolute.
type job struct {
	workload *workload
	rows     int
	expect   int64  // rows the output must hold; 0 when it is dropped
	input    string // empty when the workload has none
	output   string
	scratch  string // empty folder of this run, its working directory
	round    int
}

// invocation is a command line, with the variables it needs beyond the runner's own.
type invocation struct {
	args   []string
	env    []string
	stdout string // file that takes standard output, empty to discard it

	memoryBytes int64 // what it may come to use, page cache of its output included
}

// tool is one program measured.
type tool struct {
	name       string
	build      string // what bench/peers/build calls it, empty for none
	binary     string // path, or name in PATH
	version    func() string
	durability string
	note       string

	slow   bool // runs the first -slow-rows rows only
	subset bool // part of -subset
	jobs   map[string]func(job) invocation
}

// available returns an empty string, or why the tool cannot run.
func (t *tool) available(root string) string {
	if _, err := exec.LookPath(t.binary); err == nil {
		return ""
	}
	if t.build == "" {
		return filepath.Base(t.binary) + " is not built; run make build"
	}
	reason, err := os.ReadFile(filepath.Join(root, "bench", "out", "bin", t.build+".reason"))
	if err != nil {
		return t.build + " is not built; run bench/peers/build " + t.build
	}
	return strings.TrimSpace(string(reason))
}

const (
	// reportFile is Tapeline's own account of a run, in the scratch folder.
	reportFile = "report.json"

	written = "written"
	synced  = "synced, then renamed"
)

// tools returns all tools, Tapeline first. root is the repository.
func tools(root, tapeline string) []tool {
	list := tapelineTools(root, tapeline)
	list = append(list, benthosTool(root))
	list = append(list, duckdbTools(root)...)
	list = append(list, mawkTool(root), millerTool(), conduitTool(root))
	return append(list, psqlTools(root)...)
}

// tapelineTools returns Tapeline plain and with a checkpoint every second.
func tapelineTools(root, binary string) []tool {
	run := func(extra ...string) func(job) invocation {
		return func(j job) invocation {
			name := j.workload.name + ".yaml"
			return invocation{
				args: []string{
					binary, "run", filepath.Join(root, "bench", "workflows", name), "--fresh",
					"--state", filepath.Join(j.scratch, "state"),
					"--json-report", filepath.Join(j.scratch, reportFile),
				},
				env: append([]string{
					"BENCH_INPUT=" + j.input, "BENCH_OUTPUT=" + j.output,
					fmt.Sprintf("BENCH_ROWS=%d", j.rows),
					"BENCH_SOURCE_TABLE=" + sourceTable, "BENCH_TARGET_TABLE=" + targetTable,
				}, extra...),
			}
		}
	}
	plain, checkpoints := run(), run("BENCH_CHECKPOINT_INTERVAL=1s")
	version := func() string { return firstLine(binary, "version") }
	return []tool{
		{
			name: ours, binary: binary, version: version, durability: synced, subset: true,
			jobs: map[string]func(job) invocation{
				csvToCSV: plain, csvToNDJSON: plain, ndjsonToNDJSON: plain, generated: plain,
				tableToTable: checkpoints,
			},
		},
		{
			name: oursCheckpoints, binary: binary, version: version, durability: synced,
			note: "a checkpoint every second", subset: true,
			jobs: map[string]func(job) invocation{
				csvToCSV: checkpoints, csvToNDJSON: checkpoints, ndjsonToNDJSON: checkpoints,
				generated: checkpoints,
			},
		},
	}
}

func benthosTool(root string) tool {
	binary := filepath.Join(root, "bench", "out", "bin", "benthos")
	run := func(j job) invocation {
		config := filepath.Join(root, "bench", "peers", "benthos", j.workload.name+".yaml")
		return invocation{
			args: []string{binary, "-c", config},
			env: []string{
				"BENCH_INPUT=" + j.input, "BENCH_OUTPUT=" + j.output,
				fmt.Sprintf("BENCH_ROWS=%d", j.rows),
			},
		}
	}
	return tool{
		name: "benthos", build: "benthos", binary: binary, durability: written, slow: true,
		version: func() string { return moduleVersion(binary, "redpanda-data/benthos") },
		note:    "batches of 1000, each one write; 2 threads", subset: true,
		jobs: map[string]func(job) invocation{
			csvToCSV: run, csvToNDJSON: run, ndjsonToNDJSON: run, generated: run,
		},
	}
}

// duckdbTools returns DuckDB with declared types, with those it detects and with none.
func duckdbTools(root string) []tool {
	binary := filepath.Join(root, "bench", "out", "bin", "duckdb")
	run := func(suffix, threads string) func(job) invocation {
		return func(j job) invocation {
			return invocation{args: []string{
				binary, "-job", j.workload.name + suffix, "-threads", threads,
				"-input", j.input, "-output", j.output,
			}}
		}
	}
	peer := func(name, note string, jobs map[string]func(job) invocation) tool {
		return tool{
			name: name, build: "duckdb", binary: binary, durability: written, note: note,
			version: func() string { return firstLine(binary, "-version") },
			jobs:    jobs, subset: name != "duckdb-1",
		}
	}
	typed := func(threads string) map[string]func(job) invocation {
		plain := run("", threads)
		return map[string]func(job) invocation{
			csvToCSV: plain, csvToNDJSON: plain, ndjsonToNDJSON: plain,
		}
	}
	return []tool{
		peer("duckdb-1", "declared types, 1 thread", typed("1")),
		peer("duckdb-2", "declared types, 2 threads", typed("2")),
		peer("duckdb-detect-2", "detected types, 2 threads", map[string]func(job) invocation{
			csvToCSV: run("-detect", "2"), csvToNDJSON: run("-detect", "2"),
		}),
		peer("duckdb-text-2", "all columns text, 2 threads", map[string]func(job) invocation{
			csvToCSV: run("-text", "2"),
		}),
	}
}

func mawkTool(root string) tool {
	run := func(j job) invocation {
		script := filepath.Join(root, "bench", "peers", "mawk", j.workload.name+".awk")
		return invocation{args: []string{"mawk", "-F,", "-f", script, j.input}, stdout: j.output}
	}
	return tool{
		name: "mawk", build: "mawk", binary: "mawk", durability: written,
		version: func() string { return firstLine("mawk", "-W", "version") },
		note:    "splits at commas, knows no quotes; 1 thread", subset: true,
		jobs: map[string]func(job) invocation{csvToCSV: run, csvToNDJSON: run},
	}
}

func millerTool() tool {
	run := func(args ...string) func(job) invocation {
		return func(j job) invocation {
			return invocation{
				args: append(append([]string{"mlr"}, args...), j.input), stdout: j.output,
			}
		}
	}
	const active = `$status == "active"`
	return tool{
		name: "miller", build: "miller", binary: "mlr", durability: written, slow: true,
		version: func() string { return firstLine("mlr", "--version") },
		jobs: map[string]func(job) invocation{
			csvToCSV:    run("--csv", "filter", active),
			csvToNDJSON: run("--icsv", "--ojsonl", "filter", active),
			ndjsonToNDJSON: run("--jsonl", "filter", active,
				"then", "put", "$total = $price * $qty; $region = toupper($region)",
				"then", "cut", "-o", "-f", "customer_id,symbol,region,total"),
		},
	}
}

func conduitTool(root string) tool {
	binary := filepath.Join(root, "bench", "out", "bin", "conduit")
	return tool{
		name: "conduit", build: "conduit", binary: binary, durability: written, slow: true,
		version: func() string { return moduleVersion(binary, "conduitio/conduit") },
		note:    "substring test on whole lines, no CSV",
		jobs: map[string]func(job) invocation{csvToCSV: func(j job) invocation {
			return invocation{
				args: []string{
					binary, "run", "--db.type", "inmemory",
					"--api.enabled=false", "--log.level", "error", "--pipelines.exit-on-degraded",
					"--pipelines.path",
					filepath.Join(root, "bench", "peers", "conduit", j.workload.name+".yaml"),
				},
				env: []string{
					"BENCH_INPUT=" + j.input, "BENCH_OUTPUT=" + j.output,
					fmt.Sprintf("BENCH_EXPECT=%d", j.expect),
				},
			}
		}},
	}
}

// firstLine returns the first line a command prints, or why there is none.
func firstLine(name string, args ...string) string {
	text, err := exec.Command(name, args...).CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	if err != nil && line == "" {
		return "unknown: " + err.Error()
	}
	return line
}

// moduleVersion returns the version of the dependency whose path holds part.
func moduleVersion(binary, part string) string {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return "unknown: " + err.Error()
	}
	for _, module := range info.Deps {
		if strings.Contains(module.Path, part) {
			return module.Version
		}
	}
	return "unknown"
}

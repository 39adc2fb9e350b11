package spec_test

import (
	"maps"
	"slices"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/spec"
)

// catalogue is a fixed set of node types with the keys that documents of the field use.
type catalogue map[spec.NodeKind]map[string]spec.Declaration

func (c catalogue) Find(kind spec.NodeKind, name string) (spec.Declaration, bool) {
	d, ok := c[kind][name]
	return d, ok
}

func (c catalogue) Names(kind spec.NodeKind) []string { return slices.Sorted(maps.Keys(c[kind])) }

type csvConfig struct {
	Path      string `yaml:"path" required:"true" doc:"file or glob" example:"data/*.csv"`
	Delimiter string `yaml:"delimiter" doc:"one character"`
	Header    bool   `yaml:"header" doc:"the first line names the columns"`
	Encoding  string `yaml:"encoding" enum:"utf-8,gbk,utf-16" doc:"of the file"`
	BatchSize int    `yaml:"batch_size" min:"1" resume:"ignore" doc:"rows per batch"`
}

type incremental struct {
	Column       string `yaml:"column" required:"true" doc:"ascending column"`
	InitialValue string `yaml:"initial_value" doc:"first value read"`
}

type postgresConfig struct {
	ConnectionString string            `yaml:"connection_string" required:"true" secret:"true" doc:"postgres URL"`
	Table            string            `yaml:"table" doc:"table to read"`
	Incremental      *incremental      `yaml:"incremental" doc:"read only newer rows"`
	BatchSize        int               `yaml:"batch_size" min:"1" doc:"rows per batch"`
	Timeout          time.Duration     `yaml:"timeout" min:"1ms" max:"1h" doc:"of a statement"`
	Buffer           connector.Size    `yaml:"buffer" doc:"bytes kept"`
	Keys             []string          `yaml:"keys" doc:"columns of the key"`
	Options          map[string]string `yaml:"options" doc:"passed to the server"`
}

type filterConfig struct {
	Condition  string `yaml:"condition" required:"true" doc:"expression"`
	Vectorized *bool  `yaml:"vectorized" doc:"false forces the row interpreter"`
}

type computeConfig struct {
	Columns []struct {
		Name       string `yaml:",key"`
		Expression string `yaml:",value"`
	} `yaml:"columns" required:"true" doc:"name to expression"`
}

type routeConfig struct {
	Routes []struct {
		Name      string `yaml:",key"`
		Condition string `yaml:",value"`
	} `yaml:"routes" required:"true" doc:"port to condition"`
}

type ruleConfig struct {
	Rules []struct {
		Column string   `yaml:",key"`
		Check  string   `yaml:",value"`
		Min    *float64 `yaml:"min" doc:"least value"`
		Set    []any    `yaml:"in" doc:"allowed values"`
	} `yaml:"rules" doc:"column to rule"`
}

type pathConfig struct {
	Path string `yaml:"path" required:"true" doc:"file"`
}

type generateConfig struct {
	Rows   int64         `yaml:"rows" min:"0" doc:"rows to make"`
	Seed   uint64        `yaml:"seed" doc:"of the generator"`
	Fields []spec.Column `yaml:"fields" doc:"column to type"`
}

func testCatalogue() catalogue {
	csv := spec.Declaration{
		Config:  &csvConfig{Delimiter: ",", Header: true, Encoding: "utf-8"},
		Summary: "Delimited text.",
	}
	postgres := spec.Declaration{Config: &postgresConfig{Timeout: time.Minute}, Summary: "PostgreSQL."}
	ports := func(config any) []string {
		names := []string{"rest"}
		for _, route := range config.(*routeConfig).Routes {
			names = append(names, route.Name)
		}
		return names
	}
	file := spec.Declaration{Config: &pathConfig{}, Summary: "A file."}
	return catalogue{
		spec.Source: {
			"csv": csv, "postgres": postgres, "json": file, "parquet": file,
			"generate": {Config: &generateConfig{Rows: 1000}, Summary: "Seeded rows."},
		},
		spec.Transformation: {
			"filter":   {Config: &filterConfig{}, Summary: "Keeps rows.", MaxInputs: 1},
			"compute":  {Config: &computeConfig{}, Summary: "Adds columns.", MaxInputs: 1},
			"route":    {Config: &routeConfig{}, Summary: "Splits rows.", Ports: ports, MaxInputs: 1},
			"union":    {Config: &struct{}{}, Summary: "Unites rows."},
			"validate": {Config: &ruleConfig{}, Summary: "Checks rows."},
		},
		spec.Destination: {
			"csv": csv, "postgres": postgres, "json": file, "parquet": file,
			"discard": {Config: &struct{}{}, Summary: "Drops rows."},
		},
	}
}

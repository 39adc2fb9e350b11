package connector

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
)

func valid() Connector {
	return Connector{
		Name: "a_1", Contract: ContractVersion,
		Lookup: NewLookup(struct{}{}, func(Env, *struct{}) (Lookup, error) { return nil, nil }),
	}
}

func TestRegistryRefusesByName(t *testing.T) {
	for want, change := range map[string]func(*Connector){
		`connector name "A"`: func(c *Connector) { c.Name = "A" },
		`connector name ""`:  func(c *Connector) { c.Name = "" },
		"connector a_1 2.0.0: written for contract 2, this binary has 1": func(c *Connector) {
			c.Version, c.Contract = "2.0.0", 2
		},
		"connector a_1: neither source, sink nor lookup": func(c *Connector) { c.Lookup = nil },
	} {
		c := valid()
		change(&c)
		if _, err := NewRegistry(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	b := valid()
	b.Name = "b"
	registry, err := NewRegistry(b, valid())
	if err != nil {
		t.Fatal(err)
	}
	if got := registry.Names(); !cmp.Equal(got, []string{"a_1", "b"}) {
		t.Errorf("names %v", got)
	}
	if c, ok := registry.Get("b"); !ok || c.Name != "b" {
		t.Errorf("b is %v %t", c.Name, ok)
	}
	if _, ok := registry.Get("c"); ok {
		t.Error("c was found")
	}
}

type inner struct {
	Path string `yaml:"path" doc:"where"`
}

type config struct {
	inner  `yaml:",inline"`
	Secret string           `yaml:"secret" secret:"true" doc:"hidden"`
	Mode   string           `yaml:"mode" enum:"a,b" doc:"which"`
	Wait   time.Duration    `yaml:"wait" doc:"how long"`
	Most   Size             `yaml:"most" doc:"how much"`
	Tags   []string         `yaml:"tags" doc:"marks"`
	Shares map[string]uint8 `yaml:"shares" doc:"parts"`
	Rate   float32          `yaml:"rate" doc:"speed"`
	On     *bool            `yaml:"on" doc:"switch"`
	Any    any              `yaml:"any" doc:"anything"`
	Nested []inner          `yaml:"nested" doc:"more"`
	Out    string           `yaml:"-"`
	Plain  string
}

func TestFieldsDescribeEveryType(t *testing.T) {
	on := true
	var got []string
	for _, f := range Fields(&config{Mode: "a", Wait: time.Second, On: &on}) {
		text := f.Key + " " + f.Type
		if f.Element != nil {
			text += " of " + f.Element.Type
		}
		if f.Default != nil {
			text += " default"
		}
		if f.Secret {
			text += " secret"
		}
		if f.Enum != nil {
			text += " " + strings.Join(f.Enum, "|")
		}
		got = append(got, text)
	}
	want := []string{
		"path string", "secret string secret", "mode string default a|b", "wait duration default", "most size",
		"tags list of string", "shares map of integer", "rate number", "on bool default", "any any",
		"nested list of object",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if fields := Fields(&config{}); fields[10].Element.Fields[0].Key != "path" {
		t.Errorf("members of a list: %+v", fields[10].Element)
	}
	if Fields(nil) != nil {
		t.Error("nil has fields")
	}
	defer func() {
		if recover() == nil {
			t.Error("a channel was described")
		}
	}()
	Fields(&struct {
		C chan int `yaml:"c"`
	}{})
}

func TestBudgetHasLeastLimits(t *testing.T) {
	var none *Budget
	if got := none.Limits(); got.Rows < 1 || got.Bytes < 1 {
		t.Errorf("no budget allows %+v", got)
	}
	b := NewBudget(Limits{Rows: -1, Age: time.Second})
	if got, want := b.Limits(), (Limits{Rows: 1, Bytes: 1, Age: time.Second}); got != want {
		t.Errorf("limits %+v, want %+v", got, want)
	}
	b.Set(Limits{Rows: 5, Bytes: 6})
	if got, want := b.Limits(), (Limits{Rows: 5, Bytes: 6}); got != want {
		t.Errorf("limits %+v, want %+v", got, want)
	}
}

func TestPartialErrorNamesTheFirstRows(t *testing.T) {
	e := &PartialError{}
	for row := range 5 {
		e.Rows = append(e.Rows, batch.RowError{Row: row, Reason: "no"})
	}
	if got, want := e.Error(), "5 rows refused: row 0: no; row 1: no; row 2: no; ..."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

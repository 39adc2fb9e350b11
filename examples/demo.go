package examples

import _ "embed"

//go:embed demo.yaml
var demo string

// Demo returns the text of demo.yaml.
func Demo() string { return demo }

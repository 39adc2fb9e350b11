// Package tapeline is a trading desk's data plane: Main is its command line, to which a binary of
// one's own can add connectors.
package tapeline

import (
	// Zones must not depend on the machine: without its own data a bare container takes them for UTC.
	_ "time/tzdata"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/cli"
)

// Main runs the command line with the built-in and the given further connectors and returns the
// exit code: 0 ok, 1 failed, 2 usage, 3 partial, 130 interrupted.
func Main(args []string, extra ...connector.Connector) int { return cli.Main(args, extra...) }

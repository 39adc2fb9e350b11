// Command tapeline is the binary; all of it is in package tapeline.
package main

import (
	"os"

	"github.com/tapeline/tapeline"
)

func main() { os.Exit(tapeline.Main(os.Args[1:])) }

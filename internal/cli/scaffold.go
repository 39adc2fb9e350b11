package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

// scaffold is a workflow that runs as it stands.
const scaffold = `# A workflow: sources, transformations, destinations, joined by their inputs.
# Check it with "tapeline lint", see its plan with "tapeline explain", run it with "tapeline run".
name: %s
description: seeded orders, filtered and priced

execution:
  checkpoint_interval: 10s
  restart_strategy: {type: exponential, attempts: 5, delay: 1s}

sources:
  orders:
    type: generate            # csv, json, postgres, ...: see "tapeline connectors"
    config:
      rows: 100000
      seed: 42
      fields:
        id: sequence
        status: [active, inactive]
        price: {type: "decimal(12,2)", min: 1, max: 1000}

transformations:
  active:
    type: filter
    inputs: [orders]
    config:
      condition: status == 'active' and price > 10

  priced:
    type: compute
    inputs: [active]
    config:
      columns:
        fee: price * 0.001

destinations:
  out:
    type: csv
    inputs: [priced]
    config:
      path: ${OUT:-active_orders.csv}

tests:
  - name: only active orders pass
    given:
      orders:
        - {id: 1, status: active, price: 20.00}
        - {id: 2, status: inactive, price: 20.00}
    expect:
      active:
        - {id: 1, status: active, price: 20.00}
`

func (s *session) newCommand() *cobra.Command {
	return &cobra.Command{
		Use: "new [NAME]", Short: "Print a workflow to begin with", Args: cobra.MaximumNArgs(1),
		Example: "  tapeline new > flow.yaml && tapeline run flow.yaml",
		RunE: func(_ *cobra.Command, args []string) error {
			name := "orders"
			if len(args) > 0 {
				name = args[0]
			}
			_, err := fmt.Fprintf(s.out, scaffold, name)
			return err
		},
	}
}

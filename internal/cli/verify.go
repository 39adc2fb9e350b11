package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapeline/tapeline/internal/app"
)

func (s *session) verifyCommand() *cobra.Command {
	var request app.Verify
	var strict bool
	c := &cobra.Command{
		Use:   "verify",
		Short: "Look for what is wrong in a market store",
		Long: "Reads every byte of a store and compares checksums, finds what is missing of all that syncs were " +
			"asked to keep,\nand applies all rules of quality to the stored rows, with calendar, listings and factors. " +
			"With --provider or\n--endpoint, a sample is asked for again and compared cell by cell. It changes nothing; " +
			"tapeline repair does.\n\nExit code 0: no errors; 3: findings. Warnings count with --strict.",
		Example: "  tapeline verify --store market\n" +
			"  tapeline verify --store market --symbols sh.600000 --from 2024-01-01 --json\n" +
			"  tapeline verify --store market --endpoint 127.0.0.1:10030 --sample 50",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			slow := s.slow()
			result, err := s.parts.Verify(c.Context(), request, s.stateDir, s.logger(), slow.step)
			slow.end()
			if err != nil {
				return requestFault(err)
			}
			if err := s.printResult(result, result.Text); err != nil {
				return err
			}
			if result.Errors > 0 || strict && result.Warnings > 0 {
				return &exitError{exitPartial, nil}
			}
			return nil
		},
	}
	s.verifyFlags(c, &request)
	_ = c.MarkFlagRequired("store") // the flag is there
	c.Flags().BoolVar(&strict, "strict", false, "warnings are findings too")
	return c
}

// verifyFlags are the flags that say what is looked at.
func (s *session) verifyFlags(c *cobra.Command, request *app.Verify) {
	f := c.Flags()
	f.StringVar(&request.Store, "store", "", "folder of the store")
	f.StringSliceVar(&request.Symbols, "symbols", nil, "only these instruments")
	f.StringVar(&request.From, "from", "", "first day")
	f.StringVar(&request.To, "to", "", "last day")
	f.StringVar(&request.Provider, "provider", "", "who is asked; default baostock")
	f.StringVar(&request.Endpoint, "endpoint", "", "host:port of the provider; default its own")
	f.StringVar(&request.Sample, "sample", "",
		"symbols to ask for again, up to 365 days of each; all: all days of all; default 20 where verify names a provider")
	f.Uint64Var(&request.Seed, "seed", 0, "of the sample's chance; default another each day")
}

// slow shows how a step goes on that takes longer than a moment.
type slow struct {
	session     *session
	begun, last time.Time
}

func (s *session) slow() *slow { return &slow{session: s, begun: time.Now()} }

// step tells how far it has come.
func (p *slow) step(name string, done, all int64) {
	now := time.Now()
	if p.session.quiet || now.Sub(p.begun) < quietStart {
		return
	}
	every := quietStart
	if p.session.errors.terminal {
		every /= 10
	}
	if now.Sub(p.last) < every {
		return
	}
	p.last = now
	line := name
	if all > 0 {
		line = fmt.Sprintf("%s: %s of %s (%d %%), %.0f s", name, count(done), count(all), 100*done/all,
			now.Sub(p.begun).Seconds())
	}
	if p.session.errors.terminal {
		p.session.errors.show([]string{line})
		return
	}
	fmt.Fprintln(p.session.errors, line)
}

// end removes what was shown on a terminal.
func (p *slow) end() {
	if p.session.errors.terminal {
		p.session.errors.show(nil)
	}
}

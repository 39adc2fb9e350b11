package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/tapeline/tapeline/internal/app"
	"github.com/tapeline/tapeline/internal/flow/spec"
)

func (s *session) copyCommand() *cobra.Command {
	var request app.Copy
	var flags runFlags
	var printYAML bool
	var set, sourceSet []string
	c := &cobra.Command{
		Use:   "copy SOURCE SINK",
		Short: "Copy any source to any sink without a document",
		Long: "Copies a file, table or URL to another. The format follows from the suffix or the URL's " +
			"scheme, or is named\nas in csv:data.txt. - is standard input or output as NDJSON, csv:- as CSV, " +
			"lines:- as text lines. Missing SQL\ntables are created; without ?table= a target takes the name " +
			"of the source's file or table. --yaml prints the\nworkflow instead of running it.",
		Example: "  tapeline copy prices.csv prices.parquet\n" +
			"  tapeline copy 'data/*.csv.gz' 'postgres://me@host/db?table=prices' --where 'price > 0'\n" +
			"  tapeline copy flights.arrow csv:- --select delay,distance | head\n" +
			"  tapeline copy prices.csv market.db",
		Args: exactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			request.From, request.To = args[0], args[1]
			var err error
			if request.Set, err = settings(set); err != nil {
				return err
			}
			if request.SourceSet, err = settings(sourceSet); err != nil {
				return err
			}
			if printYAML {
				text, err := s.parts.Printable(request)
				if err != nil {
					return usage("%w", err)
				}
				_, err = fmt.Fprint(s.out, text)
				return err
			}
			text, err := s.parts.Document(request)
			if err != nil {
				return usage("%w", err)
			}
			d, problems := spec.Parse("copy", []byte(text), spec.Options{Catalogue: s.parts})
			if d == nil || spec.Failed(problems) {
				return usage("%s", request.Explain(problems))
			}
			flags.explain = request.Explain
			return s.runDocument(c.Context(), d, flags)
		},
	}
	f := c.Flags()
	f.StringVar(&request.Where, "where", "", "copy only rows for which this expression is true")
	f.StringSliceVar(&request.Select, "select", nil, "copy only these columns, in this order")
	f.StringVar(&request.FromType, "from", "", "connector of the source; default by suffix or scheme")
	f.StringVar(&request.ToType, "to", "", "connector of the sink; default by suffix or scheme")
	f.StringArrayVar(&sourceSet, "source-set", nil, "setting of the source: key=value, also key={a: b} and key=[a, b] (repeatable)")
	f.StringArrayVar(&set, "sink-set", nil, "setting of the sink: key=value, also key={a: b} and key=[a, b] (repeatable)")
	f.BoolVar(&printYAML, "yaml", false, "print the workflow instead of running it")
	f.BoolVar(&flags.fresh, "fresh", false, "start over instead of taking up an interrupted copy")
	f.Int64Var(&flags.limit, "limit", 0, "rows to copy; 0 copies all")
	f.StringVar(&flags.report, "json-report", "", "write the run's report to this file")
	return c
}

// settings reads key=value pairs; text that begins with [ or { is YAML, and true, false and whole
// numbers are typed.
func settings(pairs []string) (map[string]any, error) {
	out := map[string]any{}
	for _, pair := range pairs {
		key, text, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, usage("setting %q is not key=value", pair)
		}
		out[key] = typedSetting(text)
	}
	return out, nil
}

func typedSetting(text string) any {
	switch {
	case text == "true":
		return true
	case text == "false":
		return false
	case strings.HasPrefix(text, "[") || strings.HasPrefix(text, "{"):
		return app.Flow(text)
	}
	var n int64
	if _, err := fmt.Sscanf(text, "%d", &n); err == nil && strconv.FormatInt(n, 10) == text {
		return n
	}
	return text
}

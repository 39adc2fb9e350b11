package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tapeline/tapeline/internal/app"
)

func (s *session) diffCommand() *cobra.Command {
	var request app.Diff
	var setA, setB []string
	c := &cobra.Command{
		Use:   "diff A B",
		Short: "Compare two files, tables or URLs as sets of rows",
		Long: "Compares the rows of any two readable addresses, in any order, by the columns both have. " +
			"Numbers are equal\nby value whatever their types (1.50 = 1.5), moments in UTC, text as it " +
			"is; NULL equals NULL only. With --key\nrows are paired and changed columns shown. Memory is " +
			"bounded: beyond 400,000 rows in differing hash\nbuckets, only some of them are looked at one " +
			"by one, and the counts say so.\n\nExit code 0: equal, 1: different.",
		Example: "  tapeline diff prices.csv prices.parquet\n" +
			"  tapeline diff old.csv 'postgres://me@host/db?table=prices' --key id",
		Args: exactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			request.A, request.B = args[0], args[1]
			var err error
			if request.ASet, err = settings(setA); err != nil {
				return err
			}
			if request.BSet, err = settings(setB); err != nil {
				return err
			}
			result, err := s.parts.Diff(c.Context(), request, s.logger())
			if err != nil {
				return &exitError{exitUsage, err}
			}
			if s.json {
				err = s.printJSON(result)
			} else {
				s.printDiff(result)
			}
			if err == nil && !result.Equal {
				err = &exitError{exitFailed, nil}
			}
			return err
		},
	}
	f := c.Flags()
	f.StringSliceVar(&request.Key, "key", nil, "columns that identify a row")
	f.IntVarP(&request.Examples, "examples", "n", 10, "differing rows to show of each kind")
	f.StringArrayVar(&setA, "a-set", nil, "setting of A: key=value, also key={a: b} and key=[a, b] (repeatable)")
	f.StringArrayVar(&setB, "b-set", nil, "setting of B: key=value, also key={a: b} and key=[a, b] (repeatable)")
	return c
}

func (s *session) printDiff(r *app.DiffResult) {
	for _, side := range []struct {
		name string
		app.DiffSide
	}{{"A", r.A}, {"B", r.B}} {
		fmt.Fprintf(s.out, "%s  %14s rows  %s  %s\n", side.name, count(side.Rows), side.Hash, side.Address)
	}
	for _, c := range r.Columns {
		switch {
		case c.A == "":
			fmt.Fprintf(s.out, "column %s (%s) is only in B\n", c.Name, c.B)
		case c.B == "":
			fmt.Fprintf(s.out, "column %s (%s) is only in A\n", c.Name, c.A)
		default:
			fmt.Fprintf(s.out, "column %s is %s in A and %s in B (values are compared)\n", c.Name, c.A, c.B)
		}
	}
	if r.Equal {
		fmt.Fprintln(s.out, "equal")
		return
	}
	fmt.Fprint(s.out, "different")
	if n := r.Counts; n.OnlyInA+n.OnlyInB+n.Changed > 0 {
		least := ""
		if !r.Exact {
			least = "at least "
		}
		fmt.Fprintf(s.out, ": %s%s rows only in A, %s only in B, %s changed", least,
			count(int64(n.OnlyInA)), count(int64(n.OnlyInB)), count(int64(n.Changed)))
	}
	fmt.Fprintln(s.out)
	for _, row := range r.OnlyInA {
		fmt.Fprintf(s.out, "- %s\n", object(row))
	}
	for _, row := range r.OnlyInB {
		fmt.Fprintf(s.out, "+ %s\n", object(row))
	}
	for _, c := range r.Changed {
		fmt.Fprintf(s.out, "~ %s", object(c.Key))
		names := make([]string, 0, len(c.Columns))
		for name := range c.Columns {
			names = append(names, name)
		}
		slices.Sort(names)
		for i, name := range names {
			names[i] = fmt.Sprintf("%s: %s -> %s", name, value(c.Columns[name]["a"]), value(c.Columns[name]["b"]))
		}
		fmt.Fprintf(s.out, "  %s\n", strings.Join(names, ", "))
	}
}

// object writes a row as JSON with sorted members.
func object(row map[string]any) string {
	text, err := json.Marshal(row)
	if err != nil {
		return fmt.Sprint(row)
	}
	return string(text)
}

func value(v any) string {
	if v == nil {
		return "NULL"
	}
	return fmt.Sprintf("%q", v)
}

package main

import (
	"fmt"
	"io"
	"strings"
)

// table is a generated part of docs/performance.md with columns of its own.
type table struct {
	name    string // of the part
	setting string // what it was measured on
	columns []string
	rows    [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// number is a value with four digits.
func number(v float64) string { return fmt.Sprintf("%.4g", v) }

func (t *table) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", t.setting)
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(t.columns)
	b.WriteString(strings.Repeat("|---", len(t.columns)) + "|\n")
	for _, r := range t.rows {
		line(r)
	}
	return b.String()
}

func (t *table) print(w io.Writer) {
	for _, r := range append([][]string{t.columns}, t.rows...) {
		fmt.Fprintf(w, "%-52s", r[0])
		for _, c := range r[1:] {
			fmt.Fprintf(w, " %10s", c)
		}
		fmt.Fprintln(w)
	}
}

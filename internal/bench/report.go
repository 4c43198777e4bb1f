package main

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"math"
	"os"
	"slices"
	"strings"
)

// row is one thing that both clients were measured at.
type row struct {
	what   string
	values [2]float64 // chive's and the other's
	more   bool       // is better
}

func (r row) ratio() float64 { return r.values[0] / r.values[1] }

// report is what `make bench` found: a table for the terminal and for
// docs/performance.md, and a plot of the ratios.
type report struct {
	setting string // what it was measured on
	rows    []row
}

// add takes the medians of what rounds gave; both in the same unit.
func (r *report) add(what string, more bool, chive, other []float64) {
	r.rows = append(r.rows, row{what, [2]float64{quantile(chive, 0.5), quantile(other, 0.5)}, more})
}

func (r *report) print(w io.Writer, from int) {
	fmt.Fprintf(w, "%-52s %10s %10s %8s\n", "", "chive", "C tor", "ratio")
	for _, x := range r.rows[from:] {
		fmt.Fprintf(w, "%-52s %10.4g %10.4g %8.2f\n", x.what, x.values[0], x.values[1], x.ratio())
	}
}

// begins and ends are the lines between which a generated part of the page stands. The
// whole run's has no name.
func begins(name string) string { return "<!-- written by make bench" + name + ": begin -->\n" }
func ends(name string) string   { return "<!-- written by make bench" + name + ": end -->\n" }

// write puts the table into the page and draws the plot.
func (r *report) write(page, plot string) error {
	if err := writePart(page, "", r.markdown()); err != nil {
		return err
	}
	return os.WriteFile(plot, []byte(r.svg()), 0o644) //nolint:gosec // for all to read
}

// writePart replaces a generated part of the page.
func writePart(page, name, content string) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(text, []byte(begins(name)))
	_, after, ok2 := bytes.Cut(rest, []byte(ends(name)))
	if !ok || !ok2 {
		return fmt.Errorf("%s: the lines %q and %q are not there", page, strings.TrimSpace(begins(name)), strings.TrimSpace(ends(name)))
	}
	out := slices.Concat(before, []byte(begins(name)+content+ends(name)), after)
	return os.WriteFile(page, out, 0o644) //nolint:gosec // a page of the project, for all to read
}

func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n| | chive | C tor | ratio |\n|---|---|---|---|\n", r.setting)
	for _, x := range r.rows {
		fmt.Fprintf(&b, "| %s | %.4g | %.4g | %.2f |\n", x.what, x.values[0], x.values[1], x.ratio())
	}
	return b.String()
}

// svg draws each ratio as a bar from 1, on a logarithmic axis: to the left less than C
// tor, to the right more; dark where chive is the better one.
func (r *report) svg() string {
	const (
		line, names, width = 20, 400, 400 // pixels
		span               = 8.0          // the axis ends at 1/span and span
	)
	at := func(ratio float64) float64 {
		return names + width/2*(1+math.Log(min(max(ratio, 1/span), span))/math.Log(span))
	}
	var b strings.Builder
	height := line * (len(r.rows) + 2)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", names+width+60, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/>`+"\n")
	for _, tick := range []float64{1 / 8.0, 1 / 4.0, 1 / 2.0, 1, 2, 4, 8} {
		fmt.Fprintf(&b, `<line x1="%[1]f" y1="%[2]d" x2="%[1]f" y2="%[3]d" stroke="#ccc"/><text x="%[1]f" y="14" text-anchor="middle">%[4]g</text>`+"\n",
			at(tick), line, height, tick)
	}
	for i, x := range r.rows {
		from, to := min(at(1), at(x.ratio())), max(at(1), at(x.ratio()))
		fill := "#c66"
		if (x.ratio() > 1) == x.more {
			fill = "#2a6"
		}
		y := line * (i + 1)
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text><rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/><text x="%d" y="%d">%.2f</text>`+"\n",
			names-8, y+15, html.EscapeString(x.what), from, y+3, to-from, line-6, fill, names+width+8, y+15, x.ratio())
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// quantile of values, the nearest one.
func quantile(values []float64, q float64) float64 {
	s := slices.Sorted(slices.Values(values))
	return s[min(int(q*float64(len(s))), len(s)-1)]
}

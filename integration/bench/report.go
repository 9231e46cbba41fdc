package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// figure is one column: what it is called and what a result comes to.
type figure struct {
	name string
	of   func(r *row, x result) float64
}

var figures = []figure{
	{"MB/CPU-s", func(r *row, x result) float64 { return float64(r.bytes) / 1e6 / x.cpu.Seconds() }},
	{"lines/s", func(r *row, x result) float64 { return float64(r.lines) / x.wall.Seconds() }},
	{"CPU µs/line", func(r *row, x result) float64 { return x.cpu.Seconds() * 1e6 / float64(r.lines) }},
	{"peak MiB", func(_ *row, x result) float64 { return float64(x.peak) / (1 << 20) }},
	{"sent twice", func(_ *row, x result) float64 { return float64(x.again) }},
}

// spread is the least, the middle and the most of a figure.
func (r *row) spread(f figure) (least, middle, most float64) {
	var all []float64
	for _, x := range r.results {
		all = append(all, f.of(r, x))
	}
	slices.SortFunc(all, cmp.Compare[float64])
	return all[0], all[len(all)/2], all[len(all)-1]
}

// print writes a job's rows: the median, with least and most, and how often as much as the first row it is.
func print(job string, rows []*row) {
	fmt.Printf("\n%s\n", job)
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "collector")
	for _, f := range figures {
		fmt.Fprintf(t, "\t%s", f.name)
	}
	fmt.Fprintln(t, "\tMB/CPU-s and lines/s to the first")
	for _, r := range rows {
		fmt.Fprint(t, r.name)
		for _, f := range figures {
			least, middle, most := r.spread(f)
			fmt.Fprintf(t, "\t%s (%s-%s)", round(middle), round(least), round(most))
		}
		for _, f := range figures[:2] {
			_, middle, _ := r.spread(f)
			_, first, _ := rows[0].spread(f)
			fmt.Fprintf(t, "\t%.2f", middle/first)
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush() // to stdout
}

func round(v float64) string {
	if v >= 100 || v == 0 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// plot draws the medians of MB per CPU second as bars, with a line from the least to the most.
func plot(path string, rows []*row) error {
	const width, bar, left = 640, 22, 220
	top := 0.0
	for _, r := range rows {
		_, _, most := r.spread(figures[0])
		top = max(top, most)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n",
		left+width+90, len(rows)*bar+40)
	fmt.Fprintf(&b, `<text x="%d" y="16">MB of input per CPU second, median, least to most</text>`+"\n", left)
	for i, r := range rows {
		least, middle, most := r.spread(figures[0])
		y := 26 + i*bar
		color := "#9aa5b1"
		if r.name == "remora" {
			color = "#0b7285"
		}
		x := func(v float64) float64 { return v / top * width }
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s: %s</text><rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`,
			left-8, y+14, r.job, r.name, left, y, x(middle), bar-5, color)
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="black"/><text x="%.1f" y="%d">%.0f</text>`+"\n",
			left+x(least), left+x(most), y+bar/2-3, y+bar/2-3, left+x(most)+6, y+14, middle)
	}
	b.WriteString("</svg>\n")
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

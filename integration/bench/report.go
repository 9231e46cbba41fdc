// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// figure is a column: its name, and its value for a result.
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

// spread returns the minimum, the median and the maximum of a figure.
func (r *row) spread(f figure) (least, middle, most float64) {
	var all []float64
	for _, x := range r.results {
		all = append(all, f.of(r, x))
	}
	slices.SortFunc(all, cmp.Compare[float64])
	return all[0], all[len(all)/2], all[len(all)-1]
}

// yardstick returns the bare loop's row for an input; nil if it was not measured.
func yardstick(rows []*row, kind string) *row {
	for _, r := range rows {
		if r.collector.name == bareLoop && r.kind == kind && len(r.results) > 0 {
			return r
		}
	}
	return nil
}

// named returns the row of the collector of that name; nil if there is none.
func named(rows []*row, name string) *row {
	if at := slices.IndexFunc(rows, func(r *row) bool { return r.collector.name == name }); at >= 0 {
		return rows[at]
	}
	return nil
}

// beside returns the median, over the rounds, of the loop's CPU time divided by the row's, for the loops that run right after
// Remora. It is 0 if the loop has not run.
func (r *row) beside(loop *row) float64 {
	var all []float64
	for i := range r.results {
		if loop != nil && i < len(loop.results) {
			all = append(all, loop.results[i].cpu.Seconds()/r.results[i].cpu.Seconds())
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func (r *row) median(f figure) float64 {
	_, middle, _ := r.spread(f)
	return middle
}

// print writes a job's rows: the median, minimum and maximum, the ratio to the bare loop with the same raw input, and the
// share of the row's CPU time that the loops of this job take. Then it compares Remora with the fastest peer.
func print(job string, rows []*row, bare *row) {
	fmt.Printf("\n%s\n", job)
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "collector")
	for _, f := range figures {
		fmt.Fprintf(t, "\t%s", f.name)
	}
	fmt.Fprintln(t, "\tMB/CPU-s and lines/s to the bare loop\t\tMB/CPU-s to the kernel's loop\tand to Kafka's")
	kernel, kafka := named(rows, kernelLoop), named(rows, kafkaLoop)
	for _, r := range rows {
		fmt.Fprint(t, r.collector.label())
		if len(r.results) == 0 {
			fmt.Fprintf(t, "\t%s\n", outcome(r.failed))
			continue
		}
		for _, f := range figures {
			least, middle, most := r.spread(f)
			fmt.Fprintf(t, "\t%s (%s-%s)", round(middle), round(least), round(most))
		}
		for _, f := range figures[:2] {
			if bare == nil {
				fmt.Fprint(t, "\t-")
				continue
			}
			fmt.Fprintf(t, "\t%.2f", r.median(f)/bare.median(f))
		}
		for _, loop := range []*row{kernel, kafka} {
			if v := r.beside(loop); v > 0 {
				fmt.Fprintf(t, "\t%.0f %%", 100*v)
			} else {
				fmt.Fprint(t, "\t-")
			}
		}
		if r.failed != nil {
			fmt.Fprintf(t, "\t%s after %d rounds", outcome(r.failed), len(r.results))
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush() // to stdout
	for _, f := range figures[:2] {
		compare(f, rows)
	}
}

// outcome says why there are no figures; the full error was printed when it happened.
func outcome(failed error) string {
	if errors.Is(failed, errUnfinished) {
		return errUnfinished.Error()
	}
	return "failed"
}

// compare prints the ratio of Remora to the fastest peer in a figure, for each protocol that Remora delivers by.
func compare(f figure, rows []*row) {
	var ours []*row
	var fastest *row
	for _, r := range rows {
		switch {
		case len(r.results) == 0 || r.collector.loop():
		case r.collector.ours():
			ours = append(ours, r)
		case fastest == nil || r.median(f) > fastest.median(f):
			fastest = r
		}
	}
	for _, r := range ours {
		if fastest != nil {
			fmt.Printf("%s has %.1f x the %s of the fastest peer, %s\n", r.collector.label(), r.median(f)/fastest.median(f), f.name, fastest.collector.label())
		}
	}
}

func round(v float64) string {
	if v >= 100 || v == 0 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// plot draws the medians of MB per CPU second as bars, with a line from the minimum to the maximum.
func plot(path string, rows []*row) error {
	const width, bar, left = 640, 22, 260
	rows = slices.DeleteFunc(slices.Clone(rows), func(r *row) bool { return len(r.results) == 0 })
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
		if r.collector.ours() {
			color = "#0b7285"
		}
		x := func(v float64) float64 { return v / top * width }
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s: %s</text><rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`,
			left-8, y+14, r.job, r.collector.label(), left, y, x(middle), bar-5, color)
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="black"/><text x="%.1f" y="%d">%.0f</text>`+"\n",
			left+x(least), left+x(most), y+bar/2-3, y+bar/2-3, left+x(most)+6, y+14, middle)
	}
	b.WriteString("</svg>\n")
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

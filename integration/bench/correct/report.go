// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// result is the outcome of one scenario for one collector.
type result struct {
	Scenario, Collector string
	Written             int
	LostSilently        int
	LostAndTold         int
	Twice               int
	OutOfOrder          int
	Seconds             float64 // from the last line written to the last that arrived
	Told                string  `json:",omitempty"` // the line of its log that reports a loss
	Ended               bool    `json:",omitempty"` // by itself
	NoPart              bool    `json:",omitempty"`
	Failed              string  `json:",omitempty"` // the scenario could not be played
	Load                string  // of the machine, when it began
}

// fill sets the result from what the server has received.
func (r *result) fill(s *server, written int, wrote time.Time, c *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Written, r.Twice, r.OutOfOrder, r.Ended = written, s.taken.Twice, s.taken.Disorder, c.ended()
	if s.last.After(wrote) {
		r.Seconds = s.last.Sub(wrote).Seconds()
	}
	missing := s.taken.Missing(written)
	if missing == 0 {
		return
	}
	if r.Told = c.told(); r.Told != "" {
		r.LostAndTold = missing
	} else {
		r.LostSilently = missing
	}
	if cli.Verbose {
		said, _ := os.ReadFile(c.said())
		fmt.Fprintf(os.Stderr, "missing %s\n%.4000s\n", s.taken.Holes(written), said)
	}
}

// String returns the result in one line.
func (r *result) String() string {
	switch {
	case r.NoPart:
		return fmt.Sprintf("%s: %s takes no part", r.Scenario, r.Collector)
	case r.Failed != "":
		return fmt.Sprintf("%s: %s: %s", r.Scenario, r.Collector, r.Failed)
	}
	return fmt.Sprintf("%s: %s: of %d lines lost silently %d, lost and told %d, twice %d, out of order %d, all there after %.1f s, load %s, ended %t",
		r.Scenario, r.Collector, r.Written, r.LostSilently, r.LostAndTold, r.Twice, r.OutOfOrder, r.Seconds, r.Load, r.Ended)
}

// cell returns the result for the table. A check mark means nothing lost, nothing twice and all in order.
func (r *result) cell() string {
	switch {
	case r.NoPart:
		return "–"
	case r.Failed != "":
		return "not played"
	}
	var parts []string
	add := func(n int, what string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	if r.LostSilently > 0 {
		parts = append(parts, fmt.Sprintf("**%d lost**", r.LostSilently))
	}
	add(r.LostAndTold, "lost, told")
	add(r.Twice, "twice")
	add(r.OutOfOrder, "out of order")
	if r.Ended {
		parts = append(parts, "ended")
	}
	if len(parts) == 0 {
		parts = append(parts, "✓")
	}
	return strings.Join(parts, ", ") + fmt.Sprintf(" (%.1f s)", r.Seconds)
}

// report prints a table in Markdown, one row per scenario and one column per collector, and writes all as JSON to path if it
// is not empty.
func report(w io.Writer, path string, all []result, versions map[string]string) error {
	var rows, columns []string
	for _, r := range all {
		if !slices.Contains(rows, r.Scenario) {
			rows = append(rows, r.Scenario)
		}
		if !slices.Contains(columns, r.Collector) {
			columns = append(columns, r.Collector)
		}
	}
	fmt.Fprintf(w, "| scenario | %s |\n|---|%s\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	for _, row := range rows {
		fmt.Fprintf(w, "| %s |", row)
		for _, column := range columns {
			i := slices.IndexFunc(all, func(r result) bool { return r.Scenario == row && r.Collector == column })
			if i < 0 {
				fmt.Fprint(w, " |")
				continue
			}
			fmt.Fprintf(w, " %s |", all[i].cell())
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w)
	for _, c := range columns {
		fmt.Fprintf(w, "- %s: %s\n", c, versions[c])
	}
	if path == "" {
		return nil
	}
	text, err := json.MarshalIndent(struct {
		Versions map[string]string
		Results  []result
	}{versions, all}, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/escape"
)

// report is the result. Its JSON form is an interface for programs.
type report struct {
	Declarations []declare.Declaration `json:"declarations"`
	Errors       []problem             `json:"errors"`
	Warnings     []problem             `json:"warnings"`
	// Metadata are tags of all records of the container.
	Metadata map[string]string `json:"metadata,omitempty"`
	// Notes are what is done beyond the declarations.
	Notes []string `json:"notes,omitempty"`
}

// problem is a declare.Problem, with its container if several are explained.
type problem struct {
	declare.Problem
	Container string `json:"container,omitempty"`
}

// add adds set, the declarations of u.
func (r *report) add(u unit, set declare.Set, dialect *declare.Dialect) {
	for _, d := range set.Declarations {
		if d.Container == "" {
			d.Container = u.name
		}
		r.Declarations = append(r.Declarations, d)
	}
	for _, p := range set.Errors {
		r.Errors = append(r.Errors, problem{p, u.name})
	}
	for _, p := range set.Warnings {
		r.Warnings = append(r.Warnings, problem{p, u.name})
	}
	for _, p := range u.warnings {
		if u.live || dialect.Concerns(p.Key) {
			r.Warnings = append(r.Warnings, problem{p, u.name})
		}
	}
	if r.Metadata == nil && len(set.Metadata) > 0 {
		r.Metadata = make(map[string]string)
	}
	maps.Copy(r.Metadata, set.Metadata)
}

func (r *report) writeJSON(w io.Writer) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		return err
	}
	_, err := w.Write(escape.JSON(b.Bytes()))
	return err
}

// writeTable writes a table of the declarations, and the problems below it.
func (r *report) writeTable(w io.Writer) error {
	var b strings.Builder
	if len(r.Declarations) == 0 {
		b.WriteString("No log is collected.\n")
	} else {
		r.table(&b)
	}
	for _, key := range slices.Sorted(maps.Keys(r.Metadata)) {
		fmt.Fprintf(&b, "every record is tagged %s=%s\n", escape.Word(key), escape.Word(r.Metadata[key]))
	}
	for _, note := range r.Notes {
		fmt.Fprintln(&b, note)
	}
	writeProblems(&b, "Errors", r.Errors)
	writeProblems(&b, "Warnings", r.Warnings)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *report) table(b *strings.Builder) {
	several := slices.ContainsFunc(r.Declarations, func(d declare.Declaration) bool { return d.Container != "" })
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	row := func(container string, cells ...string) {
		if several {
			cells = slices.Insert(cells, 1, container)
		}
		// An empty cell is shown as a dash. The last cell has no tab, because tabwriter would pad it.
		for i, c := range cells {
			if c == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	row("CONTAINER", "NAME", "SOURCE", "TARGET", "FORMAT", "TAGS", "MORE")
	for _, d := range r.Declarations {
		row(escape.Word(d.Container), d.Name, escape.Word(d.Source), escape.Word(d.Target), d.Format+list(" ", d.FormatOptions), list("", d.Tags), more(d))
	}
	t.Flush() // b does not fail
}

// more returns the members of a declaration that have no column.
func more(d declare.Declaration) string {
	var parts []string
	if d.Streams != "" {
		parts = append(parts, "streams="+d.Streams)
	}
	if len(d.Outputs) > 0 {
		parts = append(parts, "output="+escape.Word(strings.Join(d.Outputs, ",")))
	}
	for _, p := range []string{list("multiline.", d.Multiline), list("", d.Filters), list("", d.Files), list("", d.Store)} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, " ")
}

// list returns k=v k=v, sorted by key, with prefix before each pair. A blank as prefix separates the pairs and comes first.
func list(prefix string, m map[string]string) string {
	var b strings.Builder
	for i, key := range slices.Sorted(maps.Keys(m)) {
		if i > 0 && prefix != " " {
			b.WriteByte(' ')
		}
		b.WriteString(prefix + escape.Word(key) + "=" + escape.Word(m[key]))
	}
	return b.String()
}

func writeProblems(b *strings.Builder, title string, problems []problem) {
	if len(problems) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s:\n", title)
	for _, p := range problems {
		where := ""
		if p.Container != "" {
			where = escape.Word(p.Container) + ": "
		}
		fmt.Fprintf(b, "  %s%s: %s\n", where, escape.Word(p.Key), escape.Text(p.Message))
	}
}

// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/remora-logs/remora/shared/escape"
)

// Print writes the snapshot for people. It escapes everything that comes from outside.
func (s *Snapshot) Print(w io.Writer) error {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0), s.namesContainers()}
	t.row("remora " + s.Version + ", up " + s.Now.Sub(s.Started).Round(time.Second).String())
	s.printFaults(t)
	t.row("")
	t.row("OUTPUT", "STATE")
	for _, o := range s.Outputs {
		t.row(o.Name, o.state(s.Now))
	}
	t.row("")
	t.of("CONTAINER", "LOG", "SOURCE", "OUTPUT", "STATE", "READ", "SENT", "QUEUED", "DROPPED", "REFUSED", "PARKED", "LAG", "", "ERROR")
	for i := range s.Logs {
		s.Logs[i].print(t, s.Now)
	}
	for i := range s.Rows {
		if r := &s.Rows[i]; r.Streams == 0 {
			r.print(t)
		}
	}
	c := &s.Total
	total := []string{"(total)", "", "", "", "", number(c.ReadRecords), number(c.SentRecords), number(c.QueuedRecords),
		number(c.DroppedRecords), number(c.RefusedRecords), number(c.ParkedRecords), "", "", ""}
	if !t.containers {
		total[0], total[1] = total[1], total[0]
	}
	t.of(total[0], total[1:]...)
	if len(s.Problems) > 0 {
		t.row("")
		t.of("CONTAINER", "KEY", "PROBLEM")
	}
	for _, p := range s.Problems {
		t.of(p.Container, p.Key, p.Message+inBrackets(p.Code))
	}
	if len(s.Metrics) > 0 {
		t.row("")
	}
	for _, m := range s.Metrics {
		t.row(strings.TrimSuffix(m.Help, "."), strconv.FormatFloat(m.Value, 'f', -1, 64))
	}
	return t.Flush()
}

// namesContainers reports whether anything names a container; a process may serve a single one.
func (s *Snapshot) namesContainers() bool {
	return slices.ContainsFunc(s.Logs, func(l Log) bool { return cmp.Or(l.Writer, l.Container) != "" }) ||
		slices.ContainsFunc(s.Rows, func(r Row) bool { return r.Container != "" }) ||
		slices.ContainsFunc(s.Problems, func(p Problem) bool { return p.Container != "" })
}

func (s *Snapshot) printFaults(t table) {
	if len(s.Faults) == 0 {
		return
	}
	t.row("")
	t.row("FAULT", "MESSAGE")
	for _, f := range s.Faults {
		message := f.Message
		if f.Since != nil {
			message = "for " + s.Now.Sub(*f.Since).Round(time.Second).String() + ": " + message
		}
		t.row(f.Component, message+inBrackets(f.Code))
	}
}

func (o *Output) state(now time.Time) string {
	if o.Error == "" && o.Conflicts > 0 {
		return fmt.Sprintf("takes records; %d stored with a field as text, because its type did not fit", o.Conflicts)
	}
	if o.Error == "" {
		return "takes records"
	}
	return fmt.Sprintf("failing for %v: %s%s", now.Sub(*o.Since).Round(time.Second), o.Error, inBrackets(o.Code))
}

func (l *Log) print(t table, now time.Time) {
	c := &l.Counts
	state, _, _ := l.state(now)
	t.of(cmp.Or(l.Writer, l.Container), l.name(), l.Source, l.Output, string(state), number(c.ReadRecords), number(c.SentRecords), number(c.QueuedRecords),
		withLifetime(c.DroppedRecords, l.Lifetime.DroppedRecords), withLifetime(c.RefusedRecords, l.Lifetime.RefusedRecords), number(c.ParkedRecords), size(l.LagBytes),
		fmt.Sprintf("%.1fs", l.LagSeconds), l.lastError(now)+inBrackets(l.Code))
}

// print writes a row none of whose streams are being read.
func (r *Row) print(t table) {
	c := &r.Counts
	t.of(r.Container, r.Declaration, strings.Join(r.Sources, ", "), r.Output, string(r.State), number(c.ReadRecords), number(c.SentRecords),
		number(c.QueuedRecords), number(c.DroppedRecords), number(c.RefusedRecords), number(c.ParkedRecords), size(r.LagBytes),
		fmt.Sprintf("%.1fs", r.LagSeconds), r.Reason)
}

// name returns the declaration, with what multiline.preset=auto groups its lines by.
func (l *Log) name() string {
	if word, _, _ := strings.Cut(l.Multiline, " "); word != "" {
		return l.Declaration + "[auto:" + word + "]"
	}
	return l.Declaration
}

// table writes rows. Its cells are escaped, so that none can forge another row.
type table struct {
	*tabwriter.Writer
	containers bool // there is a column for containers
}

// of writes a row about a container.
func (t table) of(container string, cells ...string) {
	if t.containers {
		cells = append([]string{container}, cells...)
	}
	t.row(cells...)
}

func (t table) row(cells ...string) {
	for i := range cells {
		cells[i] = escape.Text(cells[i])
	}
	fmt.Fprintln(t, strings.Join(cells, "\t"))
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

// withLifetime formats a count since the process started, and since the stream began if that is more.
func withLifetime(now, ever int64) string {
	if ever <= now {
		return number(now)
	}
	return fmt.Sprintf("%d (ever %d)", now, ever)
}

// lastError returns what is wrong with the log now, or else its last error.
func (l *Log) lastError(now time.Time) string {
	if w := l.Waiting; w != nil {
		return fmt.Sprintf("waiting for %v: %s", now.Sub(w.Since).Round(time.Second), w)
	}
	if p := l.Parked; p != nil {
		return fmt.Sprintf("records parked for %v: %s", now.Sub(p.Since).Round(time.Second), p)
	}
	if s := l.CPUWaitSince; s != nil {
		return fmt.Sprintf("formats and filters have used %.1fs of CPU time, waiting for more for %v", l.CPUSeconds,
			now.Sub(*s).Round(time.Second))
	}
	if l.Error == "" || l.ErrorSince == nil {
		return l.Error
	}
	return fmt.Sprintf("%s (%v ago)", l.Error, now.Sub(*l.ErrorSince).Round(time.Second))
}

// inBrackets formats a message's code to follow the message.
func inBrackets(code string) string {
	if code == "" {
		return ""
	}
	return " (" + code + ")"
}

// size formats a number of bytes.
func size(n int64) string {
	const k = 1024
	switch {
	case n < 10*k:
		return fmt.Sprintf("%d B", n)
	case n < 10*k*k:
		return fmt.Sprintf("%d KiB", n/k)
	}
	return fmt.Sprintf("%d MiB", n/k/k)
}

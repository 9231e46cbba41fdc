// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"text/tabwriter"
	"time"
)

// Command is the subcommand that shows a running Remora's status.
type Command struct {
	JSON bool `help:"Print it as JSON, as /status serves it."`
}

// Run asks the Remora that listens on the address and prints what it says.
func (c *Command) Run(ctx context.Context, network, address string, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	path := address
	if network == "unix" {
		var done func()
		path, done = short(address)
		defer done()
	}
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, path)
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://remora/status", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("no running Remora answers on %s %s: %w", network, address, err)
	}
	defer resp.Body.Close()
	if c.JSON {
		_, err = io.Copy(w, resp.Body)
		return err
	}
	var s Snapshot
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		return fmt.Errorf("status of %s: %w", address, err)
	}
	return s.Print(w)
}

// Print writes the snapshot for people.
func (s *Snapshot) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "remora %s, up %v\n\n", s.Version, s.Now.Sub(s.Started).Round(time.Second))
	fmt.Fprintln(t, "OUTPUT\tSTATE")
	for _, o := range s.Outputs {
		state := "takes records"
		if o.Error != "" {
			state = fmt.Sprintf("failing for %v: %s", s.Now.Sub(*o.Since).Round(time.Second), o.Error)
		}
		fmt.Fprintf(t, "%s\t%s\n", o.Name, state)
	}
	fmt.Fprintln(t, "\nCONTAINER\tLOG\tSOURCE\tOUTPUT\tREAD\tSENT\tQUEUED\tDROPPED\tREFUSED\tLAG\t\tERROR")
	for i := range s.Logs {
		l := &s.Logs[i]
		c := &l.Counts
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\t%.1fs\t%s\n", l.Container, l.Declaration, l.Source, l.Output,
			c.ReadRecords, c.SentRecords, c.QueuedRecords, ever(c.DroppedRecords, l.Ever.DroppedRecords),
			ever(c.RefusedRecords, l.Ever.RefusedRecords), size(l.LagBytes), l.LagSeconds, l.lastError(s.Now))
	}
	c := &s.Total
	fmt.Fprintf(t, "all since the start\t\t\t\t%d\t%d\t%d\t%d\t%d\t\t\t\n", c.ReadRecords, c.SentRecords, c.QueuedRecords,
		c.DroppedRecords, c.RefusedRecords)
	if len(s.Problems) > 0 {
		fmt.Fprintln(t, "\nCONTAINER\tKEY\tPROBLEM")
	}
	for _, p := range s.Problems {
		fmt.Fprintf(t, "%s\t%s\t%s\n", p.Container, p.Key, p.Message)
	}
	if len(s.Gauges) > 0 {
		fmt.Fprintln(t)
	}
	for _, g := range s.Gauges {
		fmt.Fprintf(t, "%s\t%s\n", g.Help, strconv.FormatFloat(g.Value, 'f', -1, 64))
	}
	return t.Flush()
}

// ever writes what was counted since the process started, and since the stream began where that is more.
func ever(now, all int64) string {
	if all <= now {
		return strconv.FormatInt(now, 10)
	}
	return fmt.Sprintf("%d (ever %d)", now, all)
}

func (l *Log) lastError(now time.Time) string {
	if l.Error == "" || l.ErrorSince == nil {
		return l.Error
	}
	return fmt.Sprintf("%s (%v ago)", l.Error, now.Sub(*l.ErrorSince).Round(time.Second))
}

// size writes bytes as people read them.
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

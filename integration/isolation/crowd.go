// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// The innocents: how many there are, how many lines a second each writes, and for how long.
const (
	innocents = 20
	rate      = 200
	duration  = 20 * time.Second

	innocentLines = rate * int(duration/time.Second)
	// lateAt99 is what a line in a hundred of theirs may exceed, from its writing to its arrival.
	lateAt99 = 2 * time.Second
)

func innocentNames() []string {
	var names []string
	for i := range innocents {
		names = append(names, fmt.Sprintf("innocent%02d", i))
	}
	return names
}

// writeLines appends numbered, stamped lines to a file at a rate, 0 being as fast as it can.
func writeLines(ctx context.Context, path, name string, lines, rate, size int) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	const tick = 50 * time.Millisecond
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	began := time.Now()
	var buf bytes.Buffer
	for n := 0; n < lines; {
		due := min(lines, n+1000)
		if rate > 0 {
			due = min(lines, int(time.Since(began).Seconds()*float64(rate)))
		}
		buf.Reset()
		for ; n < due && buf.Len() < 1<<20; n++ {
			from := buf.Len()
			fmt.Fprintf(&buf, "%s %d %d ", name, n, time.Now().UnixNano())
			if pad := size - (buf.Len() - from) - 1; pad > 0 {
				buf.WriteString(strings.Repeat(string(rune('a'+n%26)), pad))
			}
			buf.WriteByte('\n')
		}
		if _, err := f.Write(buf.Bytes()); err != nil {
			return err
		}
		if rate == 0 {
			continue
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// writing runs writers of files and waits for them.
type writing struct {
	t    *testing.T
	work sync.WaitGroup
}

// file writes name's lines to a file name.log in a directory of its own.
func (w *writing) file(logs, name string, lines, rate, size int) {
	dir := filepath.Join(logs, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	w.work.Go(func() {
		if err := writeLines(w.t.Context(), filepath.Join(dir, name+".log"), name, lines, rate, size); err != nil && w.t.Context().Err() == nil {
			w.t.Errorf("%s: %v", name, err)
		}
	})
}

// unharmed asserts what the innocents are owed: every line once, and in time.
func unharmed(t *testing.T, b *backend) {
	t.Helper()
	for _, name := range innocentNames() {
		a := b.of(name)
		if missing, holes := b.missing(name, innocentLines); missing > 0 {
			t.Errorf("%s: %d of %d lines have not arrived: %s", name, missing, innocentLines, holes)
		}
		if a.Twice > 0 {
			t.Errorf("%s: %d lines arrived twice", name, a.Twice)
		}
	}
	p99, worst := b.percentile(0.99, innocentNames()...), b.percentile(1, innocentNames()...)
	t.Logf("the innocents' lines were %v late at the 99th percentile, %v at most", p99.Round(time.Millisecond), worst.Round(time.Millisecond))
	if p99 > lateAt99 {
		t.Errorf("a line in a hundred of the innocents' was more than %v late: %v", lateAt99, p99)
	}
}

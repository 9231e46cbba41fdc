// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
)

// Log follows a file of records, one JSON object a line.
type Log struct {
	path    string
	at      int64
	numbers map[string]*Numbers
	// Others are the records that are no numbered lines.
	Others []Record
	// Gap is how many records the gap markers among Others count.
	Gap int64
	// Each, where set, is called for each numbered line.
	Each func(t testing.TB, r *Record)
}

// Open follows the file, which need not be there yet.
func Open(path string) *Log { return &Log{path: path, numbers: make(map[string]*Numbers)} }

// Path is the file's.
func (l *Log) Path() string { return l.path }

// Numbers is what has arrived of the lines that begin with name, of one stream; stream is empty for a file's lines.
func (l *Log) Numbers(name, stream string) *Numbers {
	key := name + " " + stream
	if l.numbers[key] == nil {
		l.numbers[key] = new(Numbers)
	}
	return l.numbers[key]
}

// Read takes in what has been added since. A line that is not one JSON object fails the test.
func (l *Log) Read(t testing.TB) {
	t.Helper()
	f, err := os.Open(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.NewSectionReader(f, l.at, 1<<62))
	if err != nil {
		t.Fatal(err)
	}
	content = content[:bytes.LastIndexByte(content, '\n')+1]
	l.at += int64(len(content))
	for line := range bytes.Lines(content) {
		l.take(t, line)
	}
}

func (l *Log) take(t testing.TB, line []byte) {
	t.Helper()
	r, name, n, err := parse(line)
	if err != nil {
		t.Fatalf("%s: %v", l.path, err)
	}
	if n < 0 {
		l.Others = append(l.Others, r)
		if r.Remora == "gap" {
			l.Gap += r.Records
		}
		return
	}
	l.Numbers(name, r.Stream).Add(n)
	if l.Each != nil {
		l.Each(t, &r)
	}
}

// Await waits until the numbers from 0 to want-1 of name's lines have all arrived on stream.
func (l *Log) Await(t testing.TB, limit time.Duration, name, stream string, want int) *Numbers {
	t.Helper()
	n := l.Numbers(name, stream)
	engine.Eventually(t, limit, func() (bool, string) {
		l.Read(t)
		missing := n.Missing(want)
		return missing == 0, strconv.Itoa(missing) + " of " + strconv.Itoa(want) + " lines of " + name + " (" + stream +
			") are missing: " + n.Holes(want)
	})
	return n
}

// ExactlyOnce is Await, and nothing came twice or out of its turn, nor does it in the second after.
func (l *Log) ExactlyOnce(t testing.TB, limit time.Duration, name, stream string, want int) {
	t.Helper()
	n := l.Await(t, limit, name, stream, want)
	time.Sleep(time.Second)
	l.Read(t)
	if n.Distinct != want || n.Twice != 0 || n.Disorder != 0 {
		t.Errorf("%s (%s): %d different lines of %d, %d twice, %d out of order", name, stream, n.Distinct, want, n.Twice,
			n.Disorder)
	}
}

// AwaitOther waits until a record that is no numbered line has arrived and is wanted, and returns it.
func (l *Log) AwaitOther(t testing.TB, limit time.Duration, wanted func(*Record) bool) *Record {
	t.Helper()
	var found *Record
	engine.Eventually(t, limit, func() (bool, string) {
		l.Read(t)
		for i := range l.Others {
			if wanted(&l.Others[i]) {
				found = &l.Others[i]
				return true, ""
			}
		}
		return false, "no such record among " + strconv.Itoa(len(l.Others)) + " others in " + l.path
	})
	return found
}

// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/remora-logs/remora/shared/record"
)

// width is how long each line is, with its newline, so that a record's number is its offset by width.
const width = 100

// lines is a stream of numbered lines that takes no memory, however long it is.
type lines struct {
	key   string
	evil  bool         // it goes to another destination than the others
	count atomic.Int64 // how many lines there are
	ended atomic.Bool
}

func line(key string, n int64) string {
	text := fmt.Sprintf("%s %09d ", key, n)
	return text + strings.Repeat("x", width-1-len(text)) + "\n"
}

func (l *lines) Key() string                    { return l.key }
func (l *lines) End() int64                     { return l.count.Load() * width }
func (l *lines) Ended() bool                    { return l.ended.Load() }
func (l *lines) Mark(off int64) ([]byte, error) { return nil, nil }
func (l *lines) Release(off int64)              {}

func (l *lines) ReadAt(p []byte, off int64) (n int, err error) {
	ended, end := l.Ended(), l.End() // in this order
	for off < end && n < len(p) {
		k := copy(p[n:], line(l.key, off/width)[off%width:])
		n, off = n+k, off+int64(k)
	}
	if off >= end && ended {
		return n, io.EOF
	}
	return n, nil
}

func (l *lines) source() *record.Source {
	target := "web"
	if l.evil {
		target = "evil"
	}
	return record.NewSource(l.key, "access", "stdout", target, []record.Tag{{Key: "team", Value: "blue"}},
		[]record.Tag{{Key: "docker_container", Value: l.key}, {Key: "host", Value: "node-1"}})
}

// entry is a record as a server received it.
type entry struct {
	id     string
	stream string // the key
	offset int64
	line   string
}

// parseID fills in stream and offset from an identity (record.AppendID). A server that does not check what it hears has no
// keys.
func (e *entry) parseID(keys map[string]string) error {
	if keys == nil {
		return nil
	}
	source, offset, ok := strings.Cut(e.id, ".")
	if e.stream = keys[source]; !ok || e.stream == "" {
		return fmt.Errorf("%q is no identity", e.id)
	}
	var err error
	e.offset, err = strconv.ParseInt(offset, 36, 64)
	return err
}

// ledger is what arrived of each stream.
type ledger struct {
	t       *testing.T
	keys    map[string]string // of streams, by the ID of their source
	seen    map[string]map[int64]int
	highest map[string]int64
	// shuffled says that records were refused one by one, so that later ones may be taken before them.
	shuffled bool
	// refused are the identities of records that were refused while later ones were on their way: only these may come late.
	refused    map[string]bool
	outOfOrder int
	total      int
}

func newLedger(t *testing.T, streams []*lines) *ledger {
	l := &ledger{t: t, keys: map[string]string{}, seen: map[string]map[int64]int{}, highest: map[string]int64{}, refused: map[string]bool{}}
	for _, s := range streams {
		l.keys[s.source().ID] = s.key
		l.seen[s.key], l.highest[s.key] = map[int64]int{}, -1
	}
	return l
}

// take books an entry. Whatever identifies it must lead to the line that is there in the stream.
func (l *ledger) take(e entry) {
	if l.keys == nil {
		return
	}
	if want := strings.TrimSuffix(line(e.stream, e.offset/width), "\n"); e.line != want {
		l.t.Errorf("%s at %d is %q, want %q", e.stream, e.offset, e.line, want)
	}
	if l.seen[e.stream][e.offset]++; l.seen[e.stream][e.offset] == 1 {
		if e.offset < l.highest[e.stream] && !l.refused[e.id] {
			l.outOfOrder++
		}
		l.highest[e.stream] = max(l.highest[e.stream], e.offset)
	}
	l.total++
}

// missing counts lines that never arrived.
func (l *ledger) missing(streams []*lines) (n int) {
	for _, s := range streams {
		n += int(s.count.Load()) - len(l.seen[s.key])
	}
	return n
}

// patience bounds what a test waits for. It is long for a machine that is busy; nobody waits for it where all is well.
const patience = time.Minute

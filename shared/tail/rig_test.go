// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/stream"
	"github.com/remora-logs/remora/shared/tail/find"
)

// tb is what tests and rapid's checks have in common.
type tb interface {
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	FailNow()
	Helper()
}

// line is a record that has arrived.
type line struct {
	stream, declaration, path string
	offset                    int64
	text                      string
	truncated                 bool
}

// rig is a tailer with all around it that it needs, and no clock, goroutine or backend of its own: a test moves each.
type rig struct {
	tb
	dir         string
	now         time.Time
	log         bytes.Buffer
	store       *memStore
	selections  []Selection
	deleteAfter time.Duration
	cfg         Config
	tailer      *Tailer
	feeds       []*feed
	arrived     []line
	gaps        []*stream.Gap
	blocked     bool // the backend takes nothing, so nothing is read
	deaf        bool // the backend takes records, and its answers are lost
	uncommitted bool // what is acknowledged reaches the slots of the store, and no commit
	batch       *record.Batch
	maxLine     int
	chunk       int
	broken      func(path string) error // of opening a file
	real        *realPipeline           // where it is used instead of the rig's own
}

func newRig(t testing.TB, selections ...Selection) *rig {
	dir := t.TempDir()
	r := newRigIn(t, dir, selections...)
	t.Cleanup(r.kill)
	return r
}

func newRigIn(t tb, dir string, selections ...Selection) *rig {
	r := &rig{tb: t, dir: dir, now: time.Now(), store: &memStore{entries: map[checkpoint.Key]checkpoint.Entry{}},
		maxLine: 1 << 20, chunk: 2 << 20}
	for _, w := range selections {
		w.Pattern = filepath.Join(dir, w.Pattern)
		for i, x := range w.Exclude {
			if strings.Contains(x, "/") {
				w.Exclude[i] = filepath.Join(dir, x)
			}
		}
		if len(w.Outputs) == 0 {
			w.Outputs = []string{"out"}
		}
		r.selections = append(r.selections, w)
	}
	return r
}

// start starts the sidecar, again if it was killed.
func (r *rig) start() *rig {
	r.Helper()
	cfg := r.cfg
	cfg.Store, cfg.Sink = r.store, r
	if r.real != nil {
		cfg.Store, cfg.Sink = r.real.start(), r.real
	}
	cfg.Log = slog.New(slog.NewTextHandler(&r.log, nil))
	cfg.Now = func() time.Time { return r.now }
	t, err := New(cfg)
	require.NoError(r, err)
	t.openFile = func(tree *find.Tree, rel string) (*os.File, find.Stat, error) {
		if r.broken != nil {
			if err := r.broken(tree.Path(rel)); err != nil {
				return nil, find.Stat{}, err
			}
		}
		return tree.Open(rel)
	}
	t.patience = time.Hour // a step is complete when it returns, however busy the machine is
	r.tailer = t
	if len(r.selections) > 0 {
		r.set(r.selections...)
	}
	return r
}

func (r *rig) set(selections ...Selection) {
	r.Helper()
	require.Empty(r, r.tailer.Put(Origin{Root: find.Host(), Selections: selections, DeleteAfter: r.deleteAfter}))
}

// scan is one scan of the tailer, and nothing else of a step.
func (r *rig) scan() {
	r.tailer.takeRequests()
	budget := scanBudget
	require.True(r, r.tailer.scanOn(r.tailer.origins[""], r.now, &budget))
}

// settle is what a step does after its scan.
func (r *rig) settle() { r.tailer.settle(r.tailer.origins[""], r.now) }

// closeIdle closes files as if there were too many.
func (r *rig) closeIdle() { r.tailer.closeIdle(nil) }

// stored are the streams that were not met yet.
func (r *rig) stored() map[*storedStream]struct{} { return r.tailer.positions.of("").streams }

// generations are those whose bytes are in place.
func (r *rig) generations() map[find.Inode]*generation { return r.tailer.origins[""].byInode }

// kill ends the sidecar as SIGKILL does: what is not in the store is gone.
func (r *rig) kill() {
	if r.tailer != nil {
		if r.real != nil {
			r.real.kill()
		}
		r.tailer.Close()
		r.tailer, r.feeds = nil, nil
	}
}

// pass lets time pass, in steps of half a second, in which the tailer looks and the pipeline reads and commits.
func (r *rig) pass(d time.Duration) {
	r.Helper()
	for ; d > 0; d -= time.Second / 2 {
		r.now = r.now.Add(time.Second / 2)
		r.look()
	}
}

// look is one look of the tailer and of the pipeline.
func (r *rig) look() {
	r.Helper()
	r.tailer.step(true)
	r.pump()
}

// feed is the pipeline's side of a stream.
type feed struct {
	key      checkpoint.Key
	path     string
	stream   stream.Stream
	cutter   *cut.Lines
	at       int64
	over     bool
	detached bool
	done     func()
}

// Attach implements Sink.
func (r *rig) Attach(s stream.Stream, _ *Origin, sel *Selection, path, output string, done func()) (func(), error) {
	declaration := sel.Name
	key := checkpoint.Key{Stream: s.Key(), Declaration: declaration, Output: output}
	for _, f := range r.feeds {
		if f.key == key {
			return nil, errors.New("already attached")
		}
	}
	f := &feed{key: key, path: path, stream: s, at: r.store.entries[key].Low, done: done}
	f.cutter = cut.NewLines(record.NewSource(key.Stream, declaration, path, "", nil, nil), r.maxLine)
	r.feeds = append(r.feeds, f)
	return func() { f.detached = true }, nil
}

// pump reads what there is, and commits what was read.
func (r *rig) pump() {
	r.Helper()
	if r.real != nil {
		r.real.pump()
		return
	}
	for _, f := range slices.Clone(r.feeds) {
		if !r.blocked {
			r.read(f)
		}
		if r.deaf {
			continue
		}
		if r.uncommitted {
			r.store.acknowledge(f.key, f.at)
			continue
		}
		mark, err := f.stream.Mark(f.at)
		require.NoError(r, err)
		if r.store.Commit(map[checkpoint.Key]checkpoint.Entry{f.key: {Position: checkpoint.Position{Low: f.at, Done: f.at}, Mark: mark}}, nil) != nil {
			continue
		}
		f.stream.Release(f.at)
		if f.over || f.detached {
			r.feeds = slices.DeleteFunc(r.feeds, func(o *feed) bool { return o == f })
			f.done()
		}
	}
}

func (r *rig) read(f *feed) {
	r.Helper()
	if r.batch == nil {
		r.batch = record.NewBatch(r.chunk)
	}
	b := r.batch
	want := min(r.chunk, 4<<10)
	for !f.over && !f.detached {
		b.Reset()
		n, err := f.stream.ReadAt(b.Free()[:want], f.at)
		var gap *stream.Gap
		if errors.As(err, &gap) {
			r.gaps = append(r.gaps, gap)
			f.at = gap.To
			continue
		}
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			return
		}
		used := f.cutter.Cut(b, b.Free()[:n], f.at, 0, last)
		for _, rec := range b.Records {
			r.arrived = append(r.arrived, line{f.key.Stream, f.key.Declaration, f.path, rec.Offset, string(rec.Line), rec.Truncated})
		}
		f.at += int64(used)
		f.over = last
		if used == 0 && n == want && want < r.chunk {
			want = min(2*want, r.chunk)
			continue
		}
		if used == 0 {
			return
		}
	}
}

// lines are the texts that have arrived, in their order.
func (r *rig) lines() []string {
	var all []string
	for _, l := range r.arrived {
		all = append(all, l.text)
	}
	return all
}

// streams are the keys of the streams that lines have arrived from.
func (r *rig) streams() []string {
	set := map[string]bool{}
	for _, l := range r.arrived {
		set[l.stream] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// wants checks that exactly these lines have arrived, in this order within what they have in common.
func (r *rig) wants(lines ...string) {
	r.Helper()
	count := map[string]int{}
	for _, l := range lines {
		count[l]++
	}
	for _, l := range r.lines() {
		count[l]--
	}
	maps.DeleteFunc(count, func(_ string, n int) bool { return n == 0 })
	if len(count) > 0 {
		some := slices.Sorted(maps.Keys(count))
		for _, l := range some[:min(len(some), 5)] {
			r.Errorf("%q arrived %d times less than it should have", l, count[l])
		}
		r.Fatalf("%d lines wrong; log:\n%s", len(count), &r.log)
	}
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) write(name, text string) {
	r.Helper()
	require.NoError(r, os.MkdirAll(filepath.Dir(r.path(name)), 0o755))
	f, err := os.OpenFile(r.path(name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	require.NoError(r, err)
	_, err = f.WriteString(text)
	require.NoError(r, err)
	require.NoError(r, f.Close())
}

func (r *rig) rename(from, to string) {
	r.Helper()
	require.NoError(r, os.Rename(r.path(from), r.path(to)))
}

func (r *rig) remove(name string) {
	r.Helper()
	require.NoError(r, os.Remove(r.path(name)))
}

func (r *rig) copy(from, to string) {
	r.Helper()
	b, err := os.ReadFile(r.path(from))
	require.NoError(r, err)
	require.NoError(r, os.WriteFile(r.path(to), b, 0o644))
}

func (r *rig) truncate(name string) {
	r.Helper()
	require.NoError(r, os.Truncate(r.path(name), 0))
}

// numbered makes n lines that begin with name and their number.
func numbered(name string, from, n int) (text string, lines []string) {
	var b strings.Builder
	for i := from; i < from+n; i++ {
		l := fmt.Sprintf("%s %06d", name, i)
		lines = append(lines, l)
		b.WriteString(l + "\n")
	}
	return b.String(), lines
}

// memStore keeps checkpoints in memory.
type memStore struct {
	entries map[checkpoint.Key]checkpoint.Entry
	err     error
	loadErr error
}

func (s *memStore) Each(f func(checkpoint.Key, checkpoint.Entry)) error {
	for k, e := range s.entries {
		f(k, e)
	}
	return nil
}

func (s *memStore) Load(k checkpoint.Key) (checkpoint.Entry, bool, error) {
	e, ok := s.entries[k]
	return e, ok, s.loadErr
}

// acknowledge moves a position as a slot does: the mark stays what it was when it was committed.
func (s *memStore) acknowledge(k checkpoint.Key, off int64) {
	if e, ok := s.entries[k]; ok {
		e.Position = checkpoint.Position{Low: off, Done: off}
		s.entries[k] = e
	}
}

func (s *memStore) Commit(put map[checkpoint.Key]checkpoint.Entry, forget []checkpoint.Key) error {
	if s.err != nil {
		return s.err
	}
	maps.Copy(s.entries, put)
	for _, k := range forget {
		delete(s.entries, k)
	}
	return nil
}

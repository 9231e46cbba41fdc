// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestModel does to files whatever comes to its mind, to the sidecar and to the backend too, and checks what arrives
// against a model of what has to: every line that was written in one piece to a file that nobody took away before it
// could be read; once, unless the sidecar was killed before the line was checkpointed; and nothing that was not written.
func TestModel(t *testing.T) {
	dir := t.TempDir()
	few(t)
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		sub := fmt.Sprintf("%s/%d", dir, n)
		if err := os.Mkdir(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(sub)
		m := newModel(t, sub)
		defer m.restore()
		defer m.rig.kill()
		m.run(t)
	})
}

// few sets how many stories are told where -rapid.checks does not: as many as fit into a few seconds. They are new ones
// each time.
func few(t *testing.T) {
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "rapid.checks" })
	if !set {
		require.NoError(t, flag.Set("rapid.checks", "2000"))
	}
}

// model is what has been written, and where it is.
type model struct {
	*rig
	inodes  *inodes
	restore func() // the file system's inodes
	births  bool   // are known
	all     bool   // the pattern selects rotated files too
	up      bool
	ended   bool              // the origin has ended and is not back
	files   map[string]*mfile // by name
	removed []*mfile
	written []*mline
	byText  map[string]*mline
	seen    int // of rig.arrived
	ticks   int
	told    int // of rig.arrived
}

// mfile is a file as its inode is.
type mfile struct {
	lines []*mline
	// known says that the tailer has recorded it, with something in it, open that it has a handle of it.
	known, open bool
	packed      bool
	copied      bool      // nobody writes to a copy
	made        time.Time // where it is a copy
	strange     bool      // no pattern selected it when it was there to be seen
	partial     *mline    // begun and not ended
}

// mline is a line that was written.
type mline struct {
	text string
	// excused lines may be lost: they were torn apart, or taken away before anyone could read them.
	excused            bool
	arrived, committed int
	allowed            int // how often it may arrive
}

func newModel(t *rapid.T, dir string) *model {
	m := &model{files: map[string]*mfile{}, byText: map[string]*mline{}, all: rapid.Bool().Draw(t, "pattern selects rotated files")}
	w := access
	if m.all {
		w = all
	}
	w.Outputs = []string{"out", "second"}[:rapid.IntRange(1, 2).Draw(t, "outputs")]
	m.rig = newRigIn(t, dir, w)
	m.births = rapid.Bool().Draw(t, "births are known")
	m.inodes, m.restore = newInodes(m.births)
	m.cfg.MaxOpen = rapid.SampledFrom([]int{2, 1000}).Draw(t, "handles")
	return m
}

const liveName = "access.log"

func rotation(n int) string { return fmt.Sprintf("%s.%d", liveName, n) }

func (m *model) run(t *rapid.T) {
	m.begin()
	actions := map[string]func(*rapid.T){
		"write": m.write, "write again": m.write, "look": m.looks, "look again": m.looks, "rename": m.renames,
		"copytruncate": m.copytruncates, "truncate": m.truncates, "remove": m.removes, "compress": m.compresses,
		"end": m.ends, "come back": m.comesBack, "remove root": m.removesRoot, "restart": m.restarts, "block": m.blocks, "deafen": m.deafens,
		"hold commits": m.holdsCommits, "late": m.late, "": func(*rapid.T) {},
	}
	for name, act := range actions {
		actions[name] = func(t *rapid.T) {
			act(t)
			if name != "" {
				m.tell(name)
			}
		}
	}
	t.Repeat(actions)
	m.blocked, m.deaf, m.uncommitted = false, false, false
	m.settle()
	for _, f := range m.files {
		f.tear()
	}
	for _, l := range m.written {
		if l.arrived == 0 && !l.excused {
			t.Fatalf("%q never arrived; log:\n%s", l.text, &m.log)
		}
	}
}

// tell adds to the log what was done, and what there is now.
func (m *model) tell(what string) {
	fmt.Fprintf(&m.log, "%s:", what)
	for _, name := range slices.Sorted(maps.Keys(m.files)) {
		if s, err := statPath(m.path(name)); err == nil {
			fmt.Fprintf(&m.log, " %s=%d/%d", strings.TrimPrefix(name, liveName), s.Ino%1000, s.Size)
		}
	}
	for _, a := range m.arrived[m.told:] {
		fmt.Fprintf(&m.log, " %.20s from %s", a.text, a.stream[len(a.stream)-4:])
	}
	m.told = len(m.arrived)
	fmt.Fprintln(&m.log)
}

// begin starts the sidecar, if it does not run.
func (m *model) begin() {
	if !m.up {
		m.up, m.ended = true, false
		m.start()
	}
}

// ends says that the writer is gone, though the model continues to write in its name.
func (m *model) ends(*rapid.T) {
	if !m.up || m.ended {
		return
	}
	m.ended = true
	m.tailer.End("")
	for _, f := range m.files { // what is there is the end
		f.tear()
		f.open = false
		f.undecided(m)
	}
	for _, f := range m.removed {
		f.tear()
		f.undecided(m)
	}
}

// undecided says that the lines of a young copy may arrive twice: it was removed, or its writer has ended, before it was
// known to be one, and with few handles it can't be compared with what it was made of.
func (f *mfile) undecided(m *model) {
	if m.cfg.MaxOpen > 100 || !f.copied || m.now.Sub(f.made) > 2*copyPause {
		return
	}
	for _, l := range f.lines {
		l.allowed += len(m.selections[0].Outputs)
	}
}

func (m *model) comesBack(*rapid.T) {
	if m.up && m.ended {
		m.ended = false
		m.set(m.selections...)
	}
}

// removesRoot removes the directory that all files are in.
func (m *model) removesRoot(*rapid.T) {
	for name := range maps.Clone(m.files) {
		m.take(name)
	}
	require.NoError(m, os.RemoveAll(m.dir))
}

// settle gives everything the time that it needs.
func (m *model) settle() {
	m.begin()
	m.comesBack(nil)
	for range 40 {
		m.now = m.now.Add(time.Second)
		m.look()
		m.tell("settle")
		m.check()
	}
}

func (m *model) looks(t *rapid.T) {
	if !m.up {
		return
	}
	m.lookAfter(rapid.SampledFrom([]time.Duration{time.Second / 10, time.Second, 3 * time.Second, 10 * time.Second}).Draw(t, "after"))
}

func (m *model) lookAfter(d time.Duration) {
	m.now = m.now.Add(d)
	m.look()
	m.tell("after the look")
	m.check()
	for name, f := range m.files {
		f.known = f.known || !m.ended && len(f.lines) > 0 && (name == liveName || m.all)
		f.open = f.known && !m.ended && m.cfg.MaxOpen > 100
	}
}

// check takes in what has arrived.
func (m *model) check() {
	for _, a := range m.arrived[m.seen:] {
		l := m.byText[a.text]
		if l == nil {
			if !slices.ContainsFunc(m.written, func(l *mline) bool { return strings.Contains(l.text, a.text) }) {
				m.Fatalf("%q at %d of %s was never written; log:\n%s", a.text, a.offset, a.stream, &m.log)
			}
			continue
		}
		if l.arrived++; l.arrived > l.allowed && !l.excused {
			m.Fatalf("%q arrived %d times, allowed are %d; log:\n%s", l.text, l.arrived, l.allowed, &m.log)
		}
	}
	m.seen = len(m.arrived)
	if m.deaf {
		return
	}
	for _, l := range m.written {
		l.committed = l.arrived
	}
}

// write adds to the log, in a piece that ends anywhere.
func (m *model) write(t *rapid.T) { m.writeTo(t, liveName) }

// late adds to a file that was rotated: an application notices that late.
func (m *model) late(t *rapid.T) {
	if f := m.files[rotation(1)]; f != nil && !f.packed && !f.copied {
		m.writeTo(t, rotation(1))
	}
}

func (m *model) writeTo(t *rapid.T, name string) {
	f := m.files[name]
	isNew := f == nil
	if isNew {
		f = &mfile{}
		m.files[name] = f
	}
	var b strings.Builder
	if f.partial != nil {
		b.WriteString(f.partial.text[len(f.partial.text)/2:] + "\n")
		f.partial = nil
	}
	add := func() *mline {
		l := &mline{excused: f.strange, text: fmt.Sprintf("%08x line %06d %s", uint32(len(m.written)+1)*2654435769, len(m.written), strings.Repeat("x", len(m.written)*37%200)),
			allowed: len(m.selections[0].Outputs)}
		m.written = append(m.written, l)
		m.byText[l.text] = l
		f.lines = append(f.lines, l)
		return l
	}
	for range rapid.IntRange(0, 20).Draw(t, "lines") {
		b.WriteString(add().text + "\n")
	}
	if rapid.Bool().Draw(t, "unfinished") {
		f.partial = add()
		b.WriteString(f.partial.text[:len(f.partial.text)/2])
		if name != liveName || m.ended { // it may be taken for the end
			f.partial.excused = true
		}
	}
	m.rig.write(name, b.String())
	if isNew {
		m.born(t, name)
	}
	m.touch(name)
}

// touch gives a file a time that no other has, and that is later than all.
func (m *model) touch(name string) {
	m.ticks++
	at := m.now.Add(time.Duration(m.ticks) * time.Microsecond)
	require.NoError(m, os.Chtimes(m.path(name), at, at))
}

// tear says that what was begun in f will not be ended there, or will come in two pieces.
func (f *mfile) tear() {
	if f.partial != nil {
		f.partial.excused = true
	}
}

// lose says that what did not arrive of f may never.
func (m *model) lose(f *mfile) {
	for _, l := range f.lines {
		if l.arrived < l.allowed {
			l.excused = true
		}
	}
}

// forget says that nobody looks where what is in f goes: its writer is gone.
func (m *model) forget(f *mfile) {
	if m.ended {
		for _, l := range f.lines {
			l.excused = true
		}
	}
}

// shift makes room for one more rotated file.
func (m *model) shift() {
	for n := 3; n > 0; n-- {
		for _, ext := range []string{"", ".gz"} {
			f := m.files[rotation(n)+ext]
			if f == nil {
				continue
			}
			if n == 3 {
				m.take(rotation(n) + ext)
				continue
			}
			m.rename(rotation(n)+ext, rotation(n+1)+ext)
			m.files[rotation(n+1)+ext] = f
			delete(m.files, rotation(n)+ext)
		}
	}
}

// take removes a file.
func (m *model) take(name string) {
	f := m.files[name]
	m.remove(name)
	delete(m.files, name)
	f.tear()
	f.undecided(m)
	if !f.open || f.packed || !m.up || m.ended {
		m.lose(f)
		return
	}
	m.removed = append(m.removed, f)
}

func (m *model) renames(*rapid.T) {
	f := m.files[liveName]
	if f == nil {
		return
	}
	m.shift()
	m.rename(liveName, rotation(1))
	m.files[rotation(1)] = f
	delete(m.files, liveName)
	f.tear()
	if !f.known && !m.all {
		m.lose(f) // it came and went between two looks
		f.strange = true
	}
}

func (m *model) copytruncates(t *rapid.T) {
	f := m.files[liveName]
	if f == nil {
		return
	}
	m.forget(f)
	m.shift()
	text, err := os.ReadFile(m.path(liveName))
	require.NoError(m, err)
	m.files[rotation(1)] = &mfile{lines: f.lines, copied: true, made: m.now}
	least := 0
	if !m.births { // an empty copy can't be told from an empty file that had its inode before
		least = min(1, len(text))
	}
	half := rapid.IntRange(least, len(text)).Draw(t, "copied so far")
	m.rig.write(rotation(1), string(text[:half]))
	m.born(t, rotation(1))
	m.touch(rotation(1))
	m.meanwhile(t)
	m.rig.write(rotation(1), string(text[half:]))
	m.touch(rotation(1))
	m.meanwhile(t)
	m.truncate(liveName)
	m.touch(liveName)
	f.tear()
	if !f.known && !m.all {
		m.lose(f)
	}
	m.files[liveName] = &mfile{}
}

// meanwhile has the sidecar look, or be killed and started again, or neither, while a copy is being made.
func (m *model) meanwhile(t *rapid.T) {
	if !m.up {
		return
	}
	switch rapid.SampledFrom([]string{"nothing", "a look", "a restart"}).Draw(t, "meanwhile") {
	case "a restart":
		m.restarts(t)
		m.begin()
		fallthrough
	case "a look":
		m.lookAfter(copyPause / 4)
	}
}

func (m *model) truncates(*rapid.T) {
	f := m.files[liveName]
	if f == nil {
		return
	}
	m.truncate(liveName)
	m.touch(liveName)
	f.tear()
	m.lose(f)
	m.files[liveName] = &mfile{}
}

func (m *model) removes(t *rapid.T) {
	if len(m.files) > 0 {
		m.take(rapid.SampledFrom(slices.Sorted(maps.Keys(m.files))).Draw(t, "which"))
	}
}

func (m *model) compresses(t *rapid.T) {
	name := rotation(rapid.IntRange(1, 3).Draw(t, "which"))
	f := m.files[name]
	if f == nil || m.files[name+".gz"] != nil {
		return
	}
	m.forget(f)
	m.compress(name)
	m.born(t, name+".gz")
	delete(m.files, name)
	f.tear()
	m.files[name+".gz"] = &mfile{lines: f.lines, packed: true, copied: f.copied, made: f.made}
	if !f.known && !m.all {
		m.lose(f)
	}
}

// restarts kills the sidecar, or starts it.
func (m *model) restarts(*rapid.T) {
	if !m.up {
		m.begin()
		return
	}
	m.up = false
	m.kill()
	for _, f := range m.files {
		f.open = false
	}
	for _, f := range m.removed {
		m.lose(f)
	}
	m.removed = nil
	for _, l := range m.written {
		l.allowed += l.arrived - l.committed
		l.committed = l.arrived
	}
}

func (m *model) blocks(*rapid.T) { m.blocked = !m.blocked }

func (m *model) deafens(*rapid.T) { m.deaf = !m.deaf }

// holdsCommits has acknowledgements be known by their slots alone, until the next commit.
func (m *model) holdsCommits(*rapid.T) { m.uncommitted = m.real == nil && !m.uncommitted }

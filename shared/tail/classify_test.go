// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/tail/find"
	"github.com/remora-logs/remora/shared/tail/fingerprint"
	"github.com/remora-logs/remora/shared/tail/gunzip"
)

// bytesContent is a content in memory.
type bytesContent struct{ *bytes.Reader }

func (bytesContent) Close() error { return nil }

func contentOf(text string) content { return bytesContent{bytes.NewReader([]byte(text))} }

// known builds a registry for classify.
type known struct {
	*testing.T
	registry
	tree *find.Tree
	now  circumstances
	dev  uint64
}

func newKnown(t *testing.T) *known {
	dir := t.TempDir()
	for _, name := range []string{"app.log", "app.log.1"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o644))
	}
	tree := find.Host().Tree(dir)
	t.Cleanup(tree.Release)
	device, err := tree.DeviceAt(tree.Path("x"))
	require.NoError(t, err)
	return &known{t, newRegistry(newStoredSet()), tree, circumstances{now: time.Now(), scan: 10}, device}
}

// generation adds one that holds text, was read up to read, and bears the name.
func (k *known) generation(name string, ino uint64, text string, read int64, state State) *generation {
	k.Helper()
	g := &generation{key: name, path: k.tree.Path(name), tree: k.tree, rel: name, state: state, body: contentOf(text), seen: k.now.scan, leftScan: k.now.scan}
	g.Inode = find.Inode{Dev: k.dev, Ino: ino}
	g.Size = int64(len(text))
	g.end.Store(g.Size)
	g.selections = []*selection{{Selection: Selection{Name: "a", Outputs: []string{"out"}}}}
	g.positions = []position{{id: readerID{"a", "out"}, off: read}}
	var err error
	g.head, err = fingerprint.HeadOf(g.body, min(len(text), fingerprint.HeadSize))
	require.NoError(k, err)
	g.known, err = fingerprint.ProofAt(g.body, read)
	require.NoError(k, err)
	k.add(g)
	k.setLatest(g.name(), g.asLatest())
	if state == Searching || state == Remembered {
		g.body = nil
		k.leave(g)
	}
	return g
}

// stored adds a stream that was read up to read of text.
func (k *known) storedStream(name string, id find.Inode, text string, read int64) *storedStream {
	k.Helper()
	c := contentOf(text)
	head, err := fingerprint.HeadOf(c, min(len(text), fingerprint.HeadSize))
	require.NoError(k, err)
	proof, err := fingerprint.ProofAt(c, read)
	require.NoError(k, err)
	m := &storedStream{key: "stored " + name, mark: fingerprint.Mark{Dev: id.Dev, Ino: id.Ino, Off: read, Size: int64(len(text)), Head: head,
		Tail: proof.Hash(), Path: k.tree.Path(name)}}
	k.registry.stored.add(m)
	return m
}

// candidate is a file that was found, a minute ago or just now.
func (k *known) candidate(name string, ino uint64, text string, age time.Duration) *candidate {
	c := &candidate{tree: k.tree, rel: name, first: k.now.scan, body: contentOf(text), grew: k.now.now.Add(-age)}
	c.Stat = find.Stat{Inode: find.Inode{Dev: k.dev, Ino: ino}, Size: int64(len(text)), Links: 1}
	c.expanded = c.Size
	if strings.HasSuffix(name, ".gz") {
		z := packed(k, text)
		c.Size = int64(len(z))
		r, err := gunzip.New(bytesContent{bytes.NewReader([]byte(z))}, c.Size)
		require.NoError(k, err)
		c.body, c.packed = r, true
	}
	return c
}

const (
	lineOne, lineTwo = "the first line\n", "the second line\n"
	both             = lineOne + lineTwo
)

// TestClassify is the table of what a file may be.
func TestClassify(t *testing.T) {
	one := int64(len(lineOne))
	whole := int64(len(both))
	for name, c := range map[string]struct {
		given func(k *known) *candidate
		want  verdictKind
		of    string // the key of the generation or stored stream
	}{
		"nothing is known": {func(k *known) *candidate {
			return k.candidate("app.log", 1, both, 0)
		}, isNew, ""},
		"stored, where it was": {func(k *known) *candidate {
			k.storedStream("app.log", find.Inode{Dev: k.dev, Ino: 1}, lineOne, one)
			return k.candidate("app.log", 1, both, 0)
		}, isStored, "stored app.log"},
		"stored, and renamed": {func(k *known) *candidate {
			k.storedStream("app.log", find.Inode{Dev: k.dev, Ino: 1}, lineOne, one)
			c := k.candidate("anything", 1, both, 0)
			c.byNumber = true
			return c
		}, isStored, "stored app.log"},
		"stored, and the inode holds something else": {func(k *known) *candidate {
			k.storedStream("app.log", find.Inode{Dev: k.dev, Ino: 1}, lineOne, one)
			return k.candidate("app.log", 1, lineTwo+lineOne, 0)
		}, isNew, ""},
		"stored, and the inode is nobody's": {func(k *known) *candidate {
			k.storedStream("app.log", find.Inode{Dev: k.dev, Ino: 1}, lineOne, one)
			c := k.candidate("private", 1, lineTwo+lineOne, 0)
			c.byNumber, c.unselected = true, true
			return c
		}, isUnwanted, ""},
		"stored, on a device that was renumbered": {func(k *known) *candidate {
			k.storedStream("app.log", find.Inode{Dev: k.dev + 1, Ino: 1}, lineOne, one)
			return k.candidate("app.log", 1, both, 0)
		}, isStored, "stored app.log"},
		"stored, on another device and under another name": {func(k *known) *candidate {
			k.storedStream("app.log", find.Inode{Dev: k.dev + 1, Ino: 1}, lineOne, one)
			return k.candidate("other.log", 1, both, 0)
		}, isNew, ""},
		"stored, and copied": {func(k *known) *candidate {
			k.storedStream("app.log", find.Inode{Dev: k.dev, Ino: 1}, lineOne, one)
			return k.candidate("app.log.1", 2, both, 0)
		}, isStoredCopy, "stored app.log"},
		"stored, and copied to a name that is no rotation's": {func(k *known) *candidate {
			k.storedStream("app.log", find.Inode{Dev: k.dev, Ino: 1}, lineOne, one)
			return k.candidate("app.old", 2, both, 0)
		}, isNew, ""},
		"stored, truncated, and copied to any related name": {func(k *known) *candidate {
			k.storedStream("app.log", find.Inode{Dev: k.dev, Ino: 1}, lineOne, one).replaced = true
			return k.candidate("app.old", 2, both, 0)
		}, isStoredCopy, "stored app.log"},
		"stored, and being compressed": {func(k *known) *candidate {
			k.storedStream("app.log", find.Inode{Dev: k.dev, Ino: 1}, lineOne, one)
			return k.candidate("app.log.1.gz", 2, both, time.Second)
		}, isUnclear, ""},
		"stored, and compressed": {func(k *known) *candidate {
			k.storedStream("app.log", find.Inode{Dev: k.dev, Ino: 1}, lineOne, one)
			return k.candidate("app.log.1.gz", 2, both, time.Minute)
		}, isStoredCopy, "stored app.log"},
		"mounted anew": {func(k *known) *candidate {
			g := k.generation("app.log", 1, lineOne, one, Rotated)
			g.seen, g.Dev = k.now.scan-1, k.dev+1
			return k.candidate("app.log", 1, both, 0)
		}, isMoved, "app.log"},
		"the same number on another device": {func(k *known) *candidate {
			g := k.generation("app.log", 1, lineOne, one, Active)
			g.Dev = k.dev + 1
			return k.candidate("app.log", 1, both, 0)
		}, isNew, ""},
		"copied and truncated, something unread": {func(k *known) *candidate {
			k.generation("app.log", 1, both, one, Searching).why = truncated
			return k.candidate("app.copy", 2, both, 0)
		}, isMoved, "app.log"},
		"removed, something unread, a rotation's name": {func(k *known) *candidate {
			k.generation("app.log", 1, both, one, Searching).why = removed
			return k.candidate("app.log.1", 2, both, 0)
		}, isMoved, "app.log"},
		"removed, something unread, another name": {func(k *known) *candidate {
			k.generation("app.log", 1, both, one, Searching).why = removed
			return k.candidate("app.new", 2, both, 0)
		}, isNew, ""},
		"something unread, and another content": {func(k *known) *candidate {
			k.generation("app.log", 1, both, one, Searching).why = truncated
			return k.candidate("app.log.1", 2, lineTwo+lineOne, 0)
		}, isNew, ""},
		"truncated, all read, the same size": {func(k *known) *candidate {
			k.generation("app.log", 1, lineOne, one, Remembered).why = truncated
			return k.candidate("app.copy", 2, lineOne, 0)
		}, isMoved, "app.log"},
		"truncated, all read, a rotation that holds more": {func(k *known) *candidate {
			k.generation("app.log", 1, lineOne, one, Remembered).why = truncated
			return k.candidate("app-20260102.log", 2, both, 0)
		}, isMoved, "app.log"},
		"truncated, all read, another log that begins alike": {func(k *known) *candidate {
			k.generation("app.log", 1, lineOne, one, Remembered).why = truncated
			return k.candidate("app-2.log", 2, both, 0)
		}, isNew, ""},
		"truncated, all read, a rotation that came later": {func(k *known) *candidate {
			g := k.generation("app.log", 1, lineOne, one, Remembered)
			g.why, g.leftScan = truncated, k.now.scan-1
			return k.candidate("app.log.1", 2, both, 0)
		}, isNew, ""},
		"compressed from a file that is read": {func(k *known) *candidate {
			k.generation("app.log.1", 1, both, whole, Rotated)
			return k.candidate("app.log.1.gz", 2, both, time.Minute)
		}, isDuplicate, "app.log.1"},
		"compressed from a file that is not acknowledged": {func(k *known) *candidate {
			k.generation("app.log.1", 1, both, one, Rotated)
			return k.candidate("app.log.1.gz", 2, both, time.Minute)
		}, isUnclear, "app.log.1"},
		"compressed from a file that is gone": {func(k *known) *candidate {
			k.generation("app.log.2", 1, both, one, Rotated).body = nil
			return k.candidate("app.log.2.gz", 2, both, time.Minute)
		}, isMoved, "app.log.2"},
		"being compressed from a file that is there": {func(k *known) *candidate {
			k.generation("app.log.1", 1, strings.Repeat(both, 1000), one, Rotated)
			c := k.candidate("app.log.1.gz", 2, strings.Repeat(both, 500), 10*time.Second)
			return c
		}, isUnclear, "app.log.1"},
		"compressed too slowly to wait for": {func(k *known) *candidate {
			k.generation("app.log.1", 1, strings.Repeat(both, 1000), one, Rotated)
			return k.candidate("app.log.1.gz", 2, strings.Repeat(both, 500), time.Minute)
		}, isNew, ""},
		"may be a copy in the making": {func(k *known) *candidate {
			k.generation("app.log", 1, both, whole, Active)
			return k.candidate("app.log.1", 2, lineOne, time.Second)
		}, isUnclear, "app.log"},
		"was no copy in the making": {func(k *known) *candidate {
			k.generation("app.log", 1, both, whole, Active)
			return k.candidate("app.log.1", 2, lineOne, time.Minute)
		}, isNew, ""},
		"a copy in the making, and no time left": {func(k *known) *candidate {
			k.generation("app.log", 1, both, whole, Active)
			k.now.hurried = true
			return k.candidate("app.log.1", 2, lineOne, time.Second)
		}, isUnwanted, "app.log"},
		"an empty file beside the one that it may be a copy of": {func(k *known) *candidate {
			k.generation("app.log", 1, both, whole, Active)
			return k.candidate("app.log.1", 2, "", time.Second)
		}, isUnclear, "app.log"},
		"an empty file, for a while": {func(k *known) *candidate {
			k.generation("app.log", 1, both, whole, Active)
			return k.candidate("app.log.1", 2, "", time.Minute)
		}, isNew, ""},
		"a copy that no selection chooses": {func(k *known) *candidate {
			k.generation("app.log", 1, both, whole, Active)
			c := k.candidate("app.log.1", 2, lineOne, time.Minute)
			c.unselected = true
			return c
		}, isUnwanted, "app.log"},
		"a rotation that came and went": {func(k *known) *candidate {
			k.generation("app.log", 1, both, whole, Active)
			c := k.candidate("app.log.1", 2, lineTwo, time.Minute)
			c.unselected = true
			return c
		}, isNew, ""},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKnown(t)
			candidate := c.given(k)
			for range 2 { // it changes nothing
				v := classify(&k.registry, candidate, k.now)
				require.NoError(t, v.err)
				require.Equal(t, c.want, v.kind, "%v: %s", v.kind, v.reason)
				require.NotEmpty(t, v.reason)
				of := ""
				switch {
				case v.generation != nil:
					of = v.generation.key
				case v.stored != nil:
					of = v.stored.key
				}
				require.Equal(t, c.of, of, v.reason)
			}
		})
	}
}

func TestClassifyAFileThatCantBeRead(t *testing.T) {
	k := newKnown(t)
	k.storedStream("app.log", find.Inode{Dev: k.dev, Ino: 1}, lineOne, int64(len(lineOne)))
	c := k.candidate("app.log", 1, both, 0)
	c.body = failing{c.body}
	v := classify(&k.registry, c, k.now)
	require.Equal(t, isUnclear, v.kind)
	require.Error(t, v.err)
}

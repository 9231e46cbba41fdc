// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/remora-logs/remora/shared/stream"
	"github.com/remora-logs/remora/shared/tail/find"
)

// Origin is one writer of files: the Pod of a sidecar, or one container of a node.
type Origin struct {
	// ID is the same after a restart of this process. It is part of the key of each stream, so that two origins never share
	// a position. The empty ID adds nothing to keys.
	ID string
	// Root is where the paths that the writer knows lie on this host.
	Root find.Root
	// Selections are what is followed, at most MaxSelections. No two have the same name and pattern.
	Selections []Selection
	// DeleteAfter, if not 0, removes rotated files that are acknowledged and were quiet for that long.
	DeleteAfter time.Duration
}

const (
	// MaxSelections bounds the selections of one origin.
	MaxSelections = 256
	// maxID bounds an origin's ID in bytes: it is in the key of each position.
	maxID = 512
)

// Selection is which files of an origin one declaration wants, and for whom. A declaration of several patterns is as many
// selections of one name: a file that several of them choose is read once for each output.
type Selection struct {
	// Name is the declaration's. Pattern is an absolute path, as the writer knows it, with * ? [] ** {a,b}.
	Name, Pattern string
	// Version is anything that changes with the declaration: a selection that is put again with the same one is left as
	// it is.
	Version string
	// Exclude are patterns of paths, or, without a slash, of names that are not read.
	Exclude []string
	// IgnoreOlder, if not 0, skips the present content of a file that was not written for that long when first seen.
	IgnoreOlder time.Duration
	// FromEnd skips the present content of files when the declaration is seen for the first time.
	FromEnd bool
	// Outputs are the names of those that it goes to. Each has a reader of its own.
	Outputs []string
}

// Sink delivers the streams of files.
type Sink interface {
	// Attach begins to deliver a file's stream, for one selection of an origin, to one output. path is the one that the
	// writer knows; records name it as their source. done must be called once, when the stream has ended or detach was
	// called, and all that was read of it is acknowledged; from any goroutine. The stream's checkpoint must be kept then,
	// with the key {s.Key(), sel.Name, output}: the same stream may be attached again when the file has grown. origin
	// and sel must not be changed. Attach may be called for several origins at once, and must not call the Tailer.
	Attach(s stream.Stream, origin *Origin, sel *Selection, path, output string, done func()) (detach func(), err error)
}

// SelectionError is a selection that can't be followed.
type SelectionError struct {
	Origin, Selection, Pattern string
	Err                        error
}

func (e *SelectionError) Error() string {
	return fmt.Sprintf("declaration %s: %.200s: %v", e.Selection, e.Pattern, e.Err)
}

func (e *SelectionError) Unwrap() error { return e.Err }

// selectionKey tells the selections of an origin apart.
type selectionKey struct{ name, pattern string }

func (s *Selection) key() selectionKey { return selectionKey{s.Name, s.Pattern} }

// selection is a Selection that is followed.
type selection struct {
	Selection
	pattern *find.Pattern
	exclude find.Exclude
	started bool      // its files were searched for once
	began   time.Time // when that was
	isNew   bool      // no position of it is stored
}

func compile(s Selection) (*selection, error) {
	p, err := find.Compile(s.Pattern)
	if err != nil {
		return nil, err
	}
	x, err := find.CompileExclude(s.Exclude)
	if err != nil {
		return nil, err
	}
	return &selection{Selection: s, pattern: p, exclude: x}, nil
}

// selects reports whether the selection chooses the file with this path.
func (s *selection) selects(name string) bool {
	return s.pattern.Selects(name) && !s.exclude.Matches(name)
}

// wants reports whether the selection asks for a reader.
func (s *selection) wants(id readerID) bool {
	return s.Name == id.declaration && slices.Contains(s.Outputs, id.output)
}

// phase is how long an origin is followed.
type phase uint8

const (
	following phase = iota
	// ending: its writer is gone. Its files are searched once more, and read to their ends.
	ending
	// withdrawing: nobody wants its files. It is dropped as soon as nothing reads them.
	withdrawing
)

// origin is an Origin that is followed. Only who holds step uses it, except for the atomics and status.
type origin struct {
	step   sync.Mutex
	status originStatus // as of its last step; Tailer.mu guards it
	// stepped is when its last step began. Only who makes a step of the Tailer uses it.
	stepped time.Time

	declared   *Origin
	selections []*selection
	trees      map[string]*find.Tree // by base
	registry
	phase      phase
	ended      bool                  // it is ending, and its last scan is complete
	reselected bool                  // selections have changed since the last scan
	stopped    time.Time             // when its writer was stopped; zero while it runs
	hinted     atomic.Bool           // something was created, renamed or removed
	basesSeen  time.Time             // when it was found out whether they lead where they did
	watched    bool                  // a hint is given of whatever the next scan could find, as of the last one
	urgent     bool                  // it must be scanned in this step
	scanCost   int                   // of the last scan, in units of scanBudget
	drainEnds  map[*generation]int64 // where Drain found the files' ends; nil unless it drains
	reopens    int                   // of this step
	counts     Counts
	open       atomic.Int32 // files that are open, as of its last step
	scans      int          // number of the scan that was started last
	scanned    time.Time
	scan       *scan // that is not complete yet
	// fresh are candidates that were found in this scan, pending those that are open because it can't be told yet what
	// they are.
	fresh, pending map[find.Inode]*candidate
	// unresolved are candidates that could not be opened, with the scan that found them first.
	unresolved map[find.Inode]int
	// missed are files that were chosen, and had another name when they were opened.
	missed    map[find.Inode]missedFile
	delivered func(find.Inode) int64 // Config.Delivered
	// nextDeadline is the first of the stored streams' deadlines.
	nextDeadline time.Time
}

func newOrigin(declared *Origin, stored *storedSet) *origin {
	return &origin{
		declared: declared, trees: map[string]*find.Tree{}, registry: newRegistry(stored), fresh: map[find.Inode]*candidate{},
		pending: map[find.Inode]*candidate{}, unresolved: map[find.Inode]int{}, missed: map[find.Inode]missedFile{},
	}
}

func (o *origin) id() string { return o.declared.ID }

// tree returns the tree that a selection's files lie in.
func (o *origin) tree(s *selection) *find.Tree {
	base := s.pattern.Base()
	tree := o.trees[base]
	if tree == nil {
		tree = o.declared.Root.Tree(base)
		o.trees[base] = tree
	}
	return tree
}

// declare makes selections the ones that are followed. An unchanged selection continues; readers of those that
// are gone are detached, and their positions are kept.
func (o *origin) declare(declared *Origin, selections []*selection) {
	sameRoot := o.declared.Root.Equal(declared.Root)
	byKey := map[selectionKey]*selection{}
	for i, s := range selections {
		if before := o.before(s); before != nil {
			if before.Version == s.Version && before.Pattern == s.Pattern && sameRoot {
				s = before
				selections[i] = s
			} else {
				s.started, s.began, s.isNew = before.started, before.began, before.isNew
			}
		}
		byKey[s.key()] = s
	}
	o.phase, o.urgent, o.reselected = following, true, true
	for g := range o.all() {
		g.reselect(byKey)
		o.activate(g)
		if g.state == Held {
			g.fire(Returned)
		}
	}
	o.declared, o.selections, o.scan, o.watched = declared, selections, nil, false
	if !sameRoot {
		for _, t := range o.trees {
			t.Release()
		}
		o.reroot()
	}
	bases := map[string]bool{}
	for _, s := range selections {
		bases[s.pattern.Base()] = true
	}
	for base, t := range o.trees {
		if !bases[base] && !o.uses(t) {
			t.Release()
			delete(o.trees, base)
		}
	}
}

// current is the number of the scan that is being made, or is made next.
func (o *origin) current() int {
	if o.scan != nil {
		return o.scans
	}
	return o.scans + 1
}

// reroot makes all files be looked up in the new root.
func (o *origin) reroot() {
	fresh := map[string]*find.Tree{}
	for base := range o.trees {
		fresh[base] = o.declared.Root.Tree(base)
	}
	o.trees = fresh
	for g := range o.all() {
		if g.tree != nil {
			g.tree = fresh[g.tree.Base()]
			g.was = place{}
		}
	}
	clear(o.fresh)
}

func (o *origin) uses(t *find.Tree) bool {
	for g := range o.all() {
		if g.tree == t {
			return true
		}
	}
	for _, c := range o.pending {
		if c.tree == t {
			return true
		}
	}
	return false
}

// before returns the selection that s replaces: that of its name and pattern, else one of its name.
func (o *origin) before(s *selection) (found *selection) {
	for _, b := range o.selections {
		if b.key() == s.key() {
			return b
		}
		if b.Name == s.Name {
			found = b
		}
	}
	return found
}

// sameBases reports whether the paths of all trees still lead where they did.
func (o *origin) sameBases() bool {
	for _, t := range o.trees {
		if !t.SameBase() {
			return false
		}
	}
	return true
}

// setStopped notes that the writer was stopped, or runs again.
func (o *origin) setStopped(stopped bool, now time.Time) {
	switch {
	case !stopped:
		for g := range o.active {
			if g.state == Active && !o.stopped.IsZero() {
				g.setEnding(false)
			}
		}
		o.stopped = time.Time{}
	case o.stopped.IsZero():
		o.stopped = now
	}
}

// writerStopped reports whether a generation is taken to have ended because its writer was stopped.
func (o *origin) writerStopped(g *generation, now time.Time) bool {
	return !o.stopped.IsZero() && now.Sub(later(g.changed, o.stopped)) >= quietFor
}

// release closes the directories that a step has opened.
func (o *origin) release() {
	for _, t := range o.trees {
		t.Release()
	}
}

// keyPrefix begins the keys of this package's streams in the checkpoint store.
const keyPrefix = "file"

// streamKey makes the key of a stream.
func streamKey(origin string, id find.Inode, generation int64) string {
	key := keyPrefix
	if origin != "" {
		key += "[" + origin + "]"
	}
	return key + ":" + strconv.FormatUint(id.Dev, 10) + ":" + strconv.FormatUint(id.Ino, 10) + ":" + strconv.FormatInt(generation, 36)
}

// generationOf returns the generation in the key of a stream; 0 if there is none.
func generationOf(key string) int64 {
	n, _ := strconv.ParseInt(key[strings.LastIndexByte(key, ':')+1:], 36, 64)
	return n
}

// originOf returns the ID of the origin that a stream is of; ok is false for the key of another kind of stream.
func originOf(key string) (id string, ok bool) {
	rest, ok := strings.CutPrefix(key, keyPrefix)
	switch {
	case !ok:
		return "", false
	case strings.HasPrefix(rest, ":"):
		return "", true
	case strings.HasPrefix(rest, "["):
		end := strings.LastIndex(rest, "]:") // what follows the ID has no bracket
		if end < 0 {
			return "", false
		}
		return rest[1:end], true
	}
	return "", false
}

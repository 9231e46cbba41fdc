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

// Origin is a writer of files: the Pod of a sidecar, or a container of a node.
type Origin struct {
	// ID identifies the origin across restarts of this process. It is part of the key of each stream, so that two origins never
	// share a position. The empty ID adds nothing to keys.
	ID string
	// Root maps the paths that the writer knows to this host.
	Root find.Root
	// Selections choose the files to follow. There are at most MaxSelections, and no two have the same name and pattern.
	Selections []Selection
	// DeleteAfter, if not 0, removes a rotated file once it is acknowledged and has not changed for that long.
	DeleteAfter time.Duration
}

const (
	// MaxSelections bounds the selections of one origin.
	MaxSelections = 256
	// maxID bounds an origin's ID in bytes, because the key of each position contains it.
	maxID = 512
)

// Selection chooses files of an origin for the outputs of one declaration. A declaration with several patterns has one
// selection per pattern, all of the same name. A file that several of them choose is read once per output.
type Selection struct {
	// Name is the name of the declaration. Pattern is an absolute path, as the writer knows it, with * ? [] ** {a,b}.
	Name, Pattern string
	// Version changes whenever the declaration does. A selection that is put again with the same version stays as it is.
	Version string
	// Exclude lists patterns of files that are not read. A pattern without a slash matches the base name, any other the path.
	Exclude []string
	// IgnoreOlder, if not 0, skips the present content of a file that had not been written for that long when first seen.
	IgnoreOlder time.Duration
	// FromEnd skips the present content of files when the declaration is first seen.
	FromEnd bool
	// Outputs are the names of the outputs. Each has its own reader of every file.
	Outputs []string
}

// Sink delivers the streams of files.
type Sink interface {
	// Attach begins to deliver a file's stream, for one selection of an origin, to one output. path is the path that the
	// writer knows; records name it as their source.
	//
	// The sink must call done once, from any goroutine, when the stream has ended or detach was called and everything that
	// was read is acknowledged. It must keep the stream's checkpoint, under the key {s.Key(), sel.Name, output}, because the
	// stream is attached again when the file has grown.
	//
	// Attach must not modify origin or sel, and must not call the Tailer. It may be called for several origins concurrently.
	Attach(s stream.Stream, origin *Origin, sel *Selection, path, output string, done func()) (detach func(), err error)
}

// SelectionError reports a selection that can't be followed.
type SelectionError struct {
	Origin, Selection, Pattern string
	Err                        error
}

func (e *SelectionError) Error() string {
	return fmt.Sprintf("declaration %s: %.200s: %v", e.Selection, e.Pattern, e.Err)
}

func (e *SelectionError) Unwrap() error { return e.Err }

// selectionKey identifies a selection within an origin.
type selectionKey struct{ name, pattern string }

func (s *Selection) key() selectionKey { return selectionKey{s.Name, s.Pattern} }

// selection is a Selection that is followed.
type selection struct {
	Selection
	pattern *find.Pattern
	exclude find.Exclude
	started bool      // its first search is complete
	began   time.Time // when it was completed
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

// phase is the phase in the life of an origin.
type phase uint8

const (
	following phase = iota
	// ending: its writer is gone. Its files are searched for once more and read to their ends.
	ending
	// withdrawing: its files are no longer wanted. It is dropped once nothing reads them.
	withdrawing
)

// origin is an Origin that is followed. step guards it, except for the atomics and where a field says otherwise.
type origin struct {
	step   sync.Mutex
	status originStatus // as of its last step; Tailer.mu guards it
	// stepped is when its last step began. Tailer.stepping guards it.
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
	basesSeen  time.Time             // when sameBases was last checked
	watched    bool                  // every file that the next scan could find causes a hint, as of the last scan
	urgent     bool                  // the next step must scan it
	scanCost   int                   // of the last scan, in units of scanBudget
	drainEnds  map[*generation]int64 // the ends of the files when Drain began; nil unless it drains
	reopens    int                   // files reopened in this step
	counts     Counts
	open       atomic.Int32 // files that are open, as of its last step
	scans      int          // number of the last scan that was started
	scanned    time.Time
	scan       *scan // in progress; nil if there is none
	// fresh holds the candidates of this scan. pending holds open candidates that could not be classified yet.
	fresh, pending map[find.Inode]*candidate
	// unresolved holds candidates that could not be opened, with the scan that first found them.
	unresolved map[find.Inode]int
	// missed holds files that were chosen but renamed before they could be opened.
	missed    map[find.Inode]missedFile
	delivered func(find.Inode) int64 // Config.Delivered
	// nextDeadline is the earliest deadline of the stored streams; zero if there is none.
	nextDeadline time.Time
}

func newOrigin(declared *Origin, stored *storedSet) *origin {
	return &origin{
		declared: declared, trees: map[string]*find.Tree{}, registry: newRegistry(stored), fresh: map[find.Inode]*candidate{},
		pending: map[find.Inode]*candidate{}, unresolved: map[find.Inode]int{}, missed: map[find.Inode]missedFile{},
	}
}

func (o *origin) id() string { return o.declared.ID }

// tree returns the tree of a selection's base directory.
func (o *origin) tree(s *selection) *find.Tree {
	base := s.pattern.Base()
	tree := o.trees[base]
	if tree == nil {
		tree = o.declared.Root.Tree(base)
		o.trees[base] = tree
	}
	return tree
}

// declare replaces the origin's selections. An unchanged selection continues. The readers of a removed selection are
// detached, and their positions are kept.
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

// current returns the number of the scan in progress, or of the next one.
func (o *origin) current() int {
	if o.scan != nil {
		return o.scans
	}
	return o.scans + 1
}

// reroot moves all files to trees of the new root.
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

// before returns the selection that s replaces: the one of the same name and pattern, else one of the same name, else nil.
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

// sameBases reports whether the base paths of all trees still lead to the same directories.
func (o *origin) sameBases() bool {
	for _, t := range o.trees {
		if !t.SameBase() {
			return false
		}
	}
	return true
}

// setStopped notes whether the writer is stopped.
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

// writerStopped reports whether a generation counts as ended because its writer is stopped and the file no longer changes.
func (o *origin) writerStopped(g *generation, now time.Time) bool {
	return !o.stopped.IsZero() && now.Sub(later(g.changed, o.stopped)) >= quietFor
}

// release closes the directories that the step has opened.
func (o *origin) release() {
	for _, t := range o.trees {
		t.Release()
	}
}

// keyPrefix begins the keys of this package's streams in the checkpoint store.
const keyPrefix = "file"

// streamKey returns the key of a stream.
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

// originOf returns the ID of the origin in the key of a stream; ok is false if the key is not one of this package's.
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

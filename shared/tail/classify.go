// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"bytes"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/tail/find"
)

// verdict is what a candidate was found to be.
type verdict struct {
	kind   verdictKind
	reason string
	// generation is the one that the candidate is or holds the bytes of, and stored the stored stream that it is or holds the
	// bytes of; nil if there is none.
	generation *generation
	stored     *storedStream
	// replaced are stored streams that had the candidate's inode, which holds other bytes now: theirs may be in a copy.
	replaced []*storedStream
	err      error // why the candidate could not be classified; it is tried again
}

// verdictKind determines what is done with a candidate.
type verdictKind uint8

const (
	undecided    verdictKind = iota // no rule has applied
	isNew                           // a new generation begins
	isStored                        // it is the file of a stored stream: resume
	isStoredCopy                    // it holds what the file of a stored stream held: resume there
	isMoved                         // it holds the bytes of a known generation: continue there
	isDuplicate                     // it holds what a known generation holds: do not read it
	isUnwanted                      // it is not to be followed
	isUnclear                       // it can't be decided yet: try again
)

func (k verdictKind) String() string {
	return [...]string{"undecided", "new", "stored", "stored copy", "moved", "duplicate", "unwanted", "unclear"}[k]
}

// circumstances holds what a verdict depends on besides the registry and the candidate.
type circumstances struct {
	now time.Time
	// hurried means that there is no time to try again: the process drains, or the origin has ended.
	hurried bool
	// started are the selections whose files are searched for the first time.
	started []*selection
	// scan is the number of the scan that found the candidate, or tries it again.
	scan int
}

// firstFor reports whether the candidate existed when a selection began.
func (w circumstances) firstFor(c *candidate) bool {
	return slices.ContainsFunc(c.selections, func(s *selection) bool { return slices.Contains(w.started, s) })
}

// quiet returns how long the candidate is known not to have grown. If the file existed when a selection began, its times tell,
// unless gzip made it and its birth is unknown: gzip sets the modification time to that of the file that it compressed.
func (w circumstances) quiet(c *candidate) time.Duration {
	q := w.now.Sub(c.grew)
	if !w.firstFor(c) || c.Birth == 0 && strings.HasSuffix(c.rel, ".gz") {
		return q
	}
	return max(q, c.age(w.now))
}

const (
	// copyPause is the time without growth after which a copy or a compressed file counts as complete.
	copyPause = 2 * time.Second
	// tornPause is the time without growth for which a compressed file that ends too early may still grow.
	tornPause = 30 * time.Second
	// leastHead is how many bytes of its beginning identify a copy. If fewer are known, as of a line torn after its first bytes,
	// a copy must also be exactly as long as the original.
	leastHead = 4
)

// classify returns what an open candidate is. It changes nothing: the same registry, candidate and circumstances yield the same
// verdict. Generations that may have been truncated must have been observed before.
func classify(r *registry, c *candidate, now circumstances) verdict {
	for _, rule := range [...]func(*registry, *candidate, circumstances) verdict{
		classifyStored, classifyRemounted, classifyLeft, classifyStoredCopy, classifyCompressed, classifyIncomplete,
	} {
		if v := rule(r, c, now); v.kind != undecided {
			return v
		}
	}
	if original := r.originalOf(c); c.unselected && original != nil && begins(original, c) {
		return verdict{kind: isUnwanted, reason: "it is a copy that no selection chooses", generation: original}
	}
	return verdict{kind: isNew, reason: "nothing that is known has its bytes"}
}

// classifyStored finds the stored stream of the candidate's file. If an inode had several, the youngest is tried first.
func classifyStored(r *registry, c *candidate, _ circumstances) verdict {
	v := verdict{}
	for _, m := range r.stored.withNumber(c.Ino) {
		if !m.mayBeAt(c) {
			continue
		}
		if v.stored == nil && m.mark.Packed == c.packed {
			same, err := m.holds(c)
			if err != nil {
				return verdict{kind: isUnclear, reason: "it can't be read", err: err}
			}
			if same {
				v.kind, v.stored, v.reason = isStored, m, "it has a stored stream's inode and bytes"
				continue
			}
		}
		if m.mark.Dev == c.Dev {
			v.replaced = append(v.replaced, m)
		}
	}
	if v.kind == undecided && c.byNumber && !slices.ContainsFunc(v.replaced, func(m *storedStream) bool { return m.renamedTo(c) }) {
		v.kind, v.reason = isUnwanted, "it only has the inode number of a stored stream"
	}
	return v
}

// classifyRemounted finds the generation that the candidate is if its file system was mounted again and has another device
// number since.
func classifyRemounted(r *registry, c *candidate, now circumstances) verdict {
	for _, g := range r.withNumber(c.Ino) {
		if g.Dev == c.Dev || g.seen == now.scan || g.Birth != c.Birth || g.packed != c.packed ||
			g.tree != c.tree || g.rel != c.rel {
			continue
		}
		if same, err := g.provenBy(c.body, c.expanded); err == nil && same && g.head.N > 0 {
			return verdict{kind: isMoved, generation: g, reason: "its file system was mounted again"}
		}
	}
	return verdict{}
}

// classifyLeft finds the generation whose bytes have left their inode and are in the candidate.
func classifyLeft(r *registry, c *candidate, now circumstances) verdict {
	if c.packed && !complete(c, now) {
		return verdict{}
	}
	for _, g := range r.left {
		if g.tree == c.tree && mayBeCopy(g, c) && copied(g, c) {
			return verdict{kind: isMoved, generation: g, reason: "it holds what a known file held"}
		}
	}
	return verdict{}
}

// mayBeCopy reports whether the candidate, apart from its content, may be a copy of a generation that left its inode.
//
// If something of the generation is owed, every file that begins with all that was read of it is its copy. If nothing is owed, a
// copy is recognised only so that it is not read again, and a new file that merely begins alike must not be taken for it: a copy
// existed before the bytes left, and has the name of a copy or is exactly as long as the original.
func mayBeCopy(g *generation, c *candidate) bool {
	if g.packed && (!c.packed || c.Size != g.Size) || !c.mayHold(g.name(), g.why == truncated) {
		return false
	}
	if g.state == Searching {
		return true
	}
	if c.first > g.leftScan {
		return false
	}
	return c.packed || c.expanded == g.end.Load() || find.CopyName(path.Base(g.name()), path.Base(c.rel))
}

// copied reports whether the candidate begins with all that was read of a generation. It reports false if nothing was read.
func copied(g *generation, c *candidate) bool {
	if g.head.N == 0 || g.head.N < leastHead && c.expanded != g.end.Load() {
		return false
	}
	same, err := g.provenBy(c.body, c.expanded)
	return err == nil && same
}

// classifyStoredCopy finds the stored stream whose bytes are in the candidate. When a selection begins, a compressed file need
// not be complete: its original would have been found, and the file may still grow.
func classifyStoredCopy(r *registry, c *candidate, now circumstances) verdict {
	if c.packed && !complete(c, now) && !now.firstFor(c) {
		return verdict{}
	}
	for m := range r.stored.related(c.rel) {
		if m.copiedTo(c) {
			return verdict{kind: isStoredCopy, stored: m, reason: "it holds what the file of a stored stream held"}
		}
	}
	return verdict{}
}

// classifyCompressed finds the generation that the candidate was compressed from.
func classifyCompressed(r *registry, c *candidate, now circumstances) verdict {
	if !c.packed || !complete(c, now) {
		return verdict{}
	}
	for _, g := range r.byInode {
		if g.packed || g.end.Load() != c.expanded || g.tree != c.tree || !find.Related(g.rel, c.rel) || !copied(g, c) {
			continue
		}
		switch {
		case g.body == nil && !hasName(g): // only the candidate has its bytes
			return verdict{kind: isMoved, generation: g, reason: "a file that is gone was compressed to it"}
		case !g.owed().done(): // the candidate is needed if this process is killed before all of g is acknowledged
			return verdict{kind: isUnclear, generation: g, reason: "it holds what is not acknowledged yet"}
		}
		return verdict{kind: isDuplicate, generation: g, reason: "it was compressed from a file that is read"}
	}
	return verdict{}
}

// classifyIncomplete leaves the candidate alone for now if it may be an unfinished copy of a file that is followed.
func classifyIncomplete(r *registry, c *candidate, now circumstances) verdict {
	original := r.originalOf(c)
	since := now.quiet(c)
	switch {
	case since < 0:
		return verdict{}
	case now.hurried && since < copyPause && !c.packed && original != nil && within(original, c):
		return verdict{kind: isUnwanted, generation: original, reason: "it was being copied from a file that is read"}
	case now.hurried:
		return verdict{}
	}
	if strings.HasSuffix(c.rel, ".gz") {
		if since < copyPause {
			return verdict{kind: isUnclear, reason: "it may be being compressed"}
		}
		if since < tornPause && original != nil && compressing(original, c) {
			return verdict{kind: isUnclear, generation: original, reason: "a file that is still there is being compressed to it"}
		}
		return verdict{}
	}
	if since >= copyPause {
		return verdict{}
	}
	if original != nil && original.inPlace() && (c.Size == 0 || original.body == nil || begins(original, c)) {
		return verdict{kind: isUnclear, generation: original, reason: "it may be a copy that is being made"} // or is empty, or can't be compared
	}
	return verdict{}
}

// within reports whether a generation that is in place holds all bytes of a candidate. If the generation's file is closed, its
// fingerprint decides, provided that exactly as much was read of it.
func within(g *generation, c *candidate) bool {
	return g.inPlace() && (begins(g, c) || c.Size == g.read() && copied(g, c))
}

// complete reports whether a compressed candidate has stopped growing.
func complete(c *candidate, now circumstances) bool {
	return now.hurried || now.quiet(c) >= copyPause
}

// compressing reports whether a compressed candidate begins like a plain generation that is in place, and expands to fewer bytes.
func compressing(g *generation, c *candidate) bool {
	if g.packed || !g.inPlace() || g.head.N == 0 || g.end.Load() == 0 {
		return false
	}
	same, err := g.head.Holds(c.body)
	if err != nil || !same {
		return false
	}
	last := make([]byte, 1)
	n, _ := c.body.ReadAt(last, g.end.Load()-1) // a complete copy has this byte
	return n == 0
}

// hasName reports whether the last known name of the generation leads to it.
func hasName(g *generation) bool {
	if g.rel == "" {
		return false
	}
	s, err := g.tree.Lstat(g.rel)
	return err == nil && s.Inode == g.Inode
}

// begins reports whether a candidate's content is the beginning of a generation. It compares the first and the last 32 KiB.
func begins(g *generation, c *candidate) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.packed || g.body == nil || c.Size == 0 || c.Size > g.end.Load() {
		return false
	}
	const part = 32 << 10
	var p, q [part]byte
	for _, at := range [...]int64{0, max(0, c.Size-part)} {
		n, _ := c.body.ReadAt(p[:], at) // a file that can't be read is not a copy
		m, _ := g.body.ReadAt(q[:n], at)
		if n == 0 || !bytes.Equal(p[:n], q[:m]) {
			return false
		}
	}
	return true
}

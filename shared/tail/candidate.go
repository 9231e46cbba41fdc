// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"encoding/binary"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/tail/find"
	"github.com/remora-logs/remora/shared/tail/gunzip"
)

// candidate is a file that was found, and is not known to be one of the generations. Once it is open, classify tells what it is.
type candidate struct {
	find.Stat
	tree       *find.Tree
	rel        string
	selections []*selection
	// unselected says that no selection chooses the name, but that it must be what a followed file was rotated or copied to.
	unselected bool
	// byNumber says that it was found because a stored stream has its inode number, under a name that is nobody's.
	byNumber bool
	first    int // the scan that found it first

	body     content
	packed   bool
	expanded int64     // its size, or what it expands to by its trailer
	grew     time.Time // when it was seen to grow
}

// path is the candidate's path as the writer knows it.
func (c *candidate) path() string { return c.tree.Path(c.rel) }

// age is how long ago the candidate was made or written.
func (c *candidate) age(now time.Time) time.Duration {
	return now.Sub(time.Unix(0, max(c.ModTime, c.Birth)))
}

// probe finds out whether the file is compressed, and how much it holds.
func (c *candidate) probe() {
	c.expanded = c.Size
	var f gunzip.File
	switch body := c.body.(type) {
	case *gunzip.Reader:
		body.Grow(c.Size)
		c.packed, f = true, body.File()
	case *os.File:
		if !strings.HasSuffix(c.rel, ".gz") {
			return
		}
		z, err := gunzip.New(body, c.Size)
		if err != nil {
			return
		}
		c.body, c.packed, f = z, true, body
	default:
		return
	}
	c.expanded = max(1, trailerSize(f, c.Size))
}

// trailerSize is what a compressed file expands to by its last four bytes (RFC 1952): modulo 4 GiB, of its last member
// only, and any number where the file is not complete.
func trailerSize(f io.ReaderAt, size int64) int64 {
	var b [4]byte
	if _, err := f.ReadAt(b[:], size-4); err != nil {
		return 0
	}
	return int64(binary.LittleEndian.Uint32(b[:]))
}

// declaredAs is the name that a rotated file must have had: without what the rotation put behind it.
func (c *candidate) declaredAs() string {
	name := c.path()
	for i := len(name); i > 0; i-- {
		if find.RotatedName(path.Base(name[:i]), path.Base(name)) && !strings.HasSuffix(name[:i], "/") {
			if end := name[i-1]; (end < '0' || end > '9') && !strings.ContainsRune(".-_", rune(end)) {
				return name[:i]
			}
		}
	}
	return name
}

// mayHold reports whether, by its name, the candidate may hold what the file at name held. Of a file that was not truncated,
// but is gone, a copy that is not compressed must have the name of its rotation: it may be a log of its own that only
// began alike.
func (c *candidate) mayHold(name string, truncated bool) bool {
	return name != c.path() && find.Related(name, c.rel) &&
		(c.packed || truncated || find.RotatedName(path.Base(name), path.Base(c.rel)))
}

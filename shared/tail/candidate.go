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

// candidate is a file that was found and is not known to be one of the generations. Once it is open, classify decides what it is.
type candidate struct {
	find.Stat
	tree       *find.Tree
	rel        string
	selections []*selection
	// unselected means that no selection chooses the name, but that a followed file was probably rotated or copied to it.
	unselected bool
	// byNumber means that it was found by the inode number of a stored stream, under a name that no selection chooses.
	byNumber bool
	first    int // number of the scan that first found it

	body     content
	packed   bool
	expanded int64     // its size or, if it is compressed, the expanded size in its trailer
	grew     time.Time // when it was last seen to grow
}

// path returns the candidate's path as the writer knows it.
func (c *candidate) path() string { return c.tree.Path(c.rel) }

// age returns how long ago the candidate was created or written.
func (c *candidate) age(now time.Time) time.Duration {
	return now.Sub(time.Unix(0, max(c.ModTime, c.Birth)))
}

// probe determines whether the file is compressed, and how many bytes it holds.
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

// trailerSize returns the expanded size in the last four bytes of a compressed file (RFC 1952): modulo 4 GiB, of the last member
// only, and arbitrary if the file is not complete.
func trailerSize(f io.ReaderAt, size int64) int64 {
	var b [4]byte
	if _, err := f.ReadAt(b[:], size-4); err != nil {
		return 0
	}
	return int64(binary.LittleEndian.Uint32(b[:]))
}

// declaredAs returns the path that a rotated file must have had: without the suffix that the rotation added.
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

// mayHold reports whether, by its name, the candidate may hold what the file at name held. If that file is gone and was not
// truncated, an uncompressed candidate must have the name of its rotation: otherwise it may be another log that begins alike.
func (c *candidate) mayHold(name string, truncated bool) bool {
	return name != c.path() && find.Related(name, c.rel) &&
		(c.packed || truncated || find.RotatedName(path.Base(name), path.Base(c.rel)))
}

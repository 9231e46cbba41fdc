// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// setSource checks and sets the source.
func (d *Declaration) setSource(value string) error {
	value = strings.TrimSpace(value)
	d.Source = value
	switch {
	case value == Stdout:
		return nil
	case value == "":
		return errors.New("is empty; it takes stdout or the absolute path of a file")
	case strings.EqualFold(value, Stdout):
		return fmt.Errorf("%s is neither stdout nor an absolute path; did you mean stdout?", quote(value))
	case value == "stderr":
		return errors.New("stderr can't be collected apart; stdout means both, and each record says which in its field stream")
	case value[0] != '/':
		return fmt.Errorf("%s is neither stdout nor an absolute path", quote(value))
	case hasControl(value):
		return fmt.Errorf("%s holds a control character", quote(value))
	}
	return checkPattern(value)
}

// maxPath is the longest path that Linux takes, PATH_MAX.
const maxPath = 4096

// checkPattern checks a pattern of paths.
func checkPattern(p string) error {
	if len(p) > maxPath {
		return fmt.Errorf("%s is longer than the %d bytes of a path", quote(p), maxPath)
	}
	for element := range strings.SplitSeq(p, "/") {
		if element == ".." {
			return fmt.Errorf("%s climbs out of a directory", quote(p))
		}
	}
	if last := path.Base(p); strings.HasSuffix(p, "/") || last == "." {
		return fmt.Errorf("%s is a directory; name the files in it, like %s", quote(p), quote("…/"+path.Join(path.Base(p), "*.log")))
	}
	if !doublestar.ValidatePattern(p) {
		return fmt.Errorf("%s is not a valid pattern: a [ or { is not closed, or a range is incomplete", quote(p))
	}
	return nil
}

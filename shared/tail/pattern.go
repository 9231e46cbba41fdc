// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// maxAlternatives bounds what the braces of one pattern may expand to.
const maxAlternatives = 256

// glob is a pattern of paths, taken apart.
type glob struct {
	// base is the directory that the pattern names without a wildcard. No file outside of it can match.
	base string
	// alternatives are what {a,b} expands to, each as the segments of a path below base.
	alternatives [][]string
}

// compile takes a pattern apart: * ? [] within a segment, ** for any number of directories, {a,b} for alternatives, a
// backslash before a character that stands for itself.
func compile(pattern string) (glob, error) {
	if !strings.HasPrefix(pattern, "/") {
		return glob{}, errors.New("the path is not absolute")
	}
	if slices.Contains(strings.Split(pattern, "/"), "..") {
		return glob{}, errors.New(`the path contains ".."`)
	}
	if strings.HasSuffix(pattern, "/") {
		return glob{}, errors.New("the path names a directory; add a pattern of the files in it, as in " + pattern + "*.log")
	}
	if !doublestar.ValidatePattern(pattern) {
		return glob{}, errors.New("the pattern is malformed: an open [ or {, or a backslash at its end")
	}
	alternatives, err := expandBraces(pattern)
	if err != nil {
		return glob{}, err
	}
	g := glob{base: literalBase(pattern)}
	for _, a := range alternatives {
		a = path.Clean(a) // "//" and "/./" mean nothing; a pattern has no ".." at this point unless braces made it
		segments := strings.Split(strings.TrimPrefix(strings.TrimPrefix(a, g.base), "/"), "/")
		if slices.Contains(segments, "..") || !strings.HasPrefix(a, g.base) {
			return glob{}, errors.New(`the path contains ".."`)
		}
		g.alternatives = append(g.alternatives, segments)
	}
	return g, nil
}

// selects tells whether the pattern stands for name, an absolute path.
func (g *glob) selects(name string) bool {
	rel, inside := strings.CutPrefix(name, strings.TrimSuffix(g.base, "/")+"/")
	return inside && slices.ContainsFunc(g.alternatives, func(segments []string) bool {
		return doublestar.MatchUnvalidated(strings.Join(segments, "/"), rel)
	})
}

// literalBase is the longest directory at the beginning of pattern without a wildcard in it.
func literalBase(pattern string) string {
	end := strings.IndexAny(pattern, `*?[{\`)
	if end < 0 {
		end = len(pattern)
	}
	return path.Clean("/" + pattern[:strings.LastIndexByte(pattern[:end], '/')+1])
}

// expandBraces returns the patterns without braces that pattern stands for.
func expandBraces(pattern string) ([]string, error) {
	open, parts, rest, found := firstBraces(pattern)
	if !found {
		return []string{pattern}, nil
	}
	var all []string
	for _, p := range parts {
		more, err := expandBraces(pattern[:open] + p + rest)
		if err != nil {
			return nil, err
		}
		if all = append(all, more...); len(all) > maxAlternatives {
			return nil, fmt.Errorf("the braces stand for more than %d paths", maxAlternatives)
		}
	}
	return all, nil
}

// firstBraces finds the first {a,b} of pattern: where it opens, its parts, and what follows it.
func firstBraces(pattern string) (open int, parts []string, rest string, found bool) {
	open = -1
	depth, start, class := 0, 0, false
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\':
			i++
		case c == '[':
			class = true
		case c == ']':
			class = false
		case class:
		case c == '{':
			if depth++; depth == 1 {
				open, start = i, i+1
			}
		case c == ',' && depth == 1:
			parts = append(parts, pattern[start:i])
			start = i + 1
		case c == '}' && depth > 0:
			if depth--; depth == 0 {
				return open, append(parts, pattern[start:i]), pattern[i+1:], true
			}
		}
	}
	return -1, nil, "", false
}

// matches tells whether name is one that segment stands for. Both are without a slash; segment is no "**".
func matches(segment, name string) bool {
	return segment == name || doublestar.MatchUnvalidated(segment, name)
}

// excluded tells whether a declaration's exclude names this file: by its base name, or by its path where the pattern
// has a slash.
func excluded(patterns []string, file string) bool {
	for _, p := range patterns {
		subject := file
		if !strings.Contains(p, "/") {
			subject = path.Base(file)
		}
		if doublestar.MatchUnvalidated(p, subject) {
			return true
		}
	}
	return false
}

// rotatedName tells whether name is what a rotation calls a file that was called live: live with a number or a date
// behind it, compressed or not.
func rotatedName(live, name string) bool {
	rest, ok := strings.CutPrefix(name, live)
	if !ok {
		return false
	}
	rest = strings.TrimSuffix(rest, ".gz")
	if len(rest) < 2 || !strings.ContainsRune(".-_", rune(rest[0])) {
		return false
	}
	digits := 0
	for _, c := range rest {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case !strings.ContainsRune(".-_:+TZ", c):
			return false
		}
	}
	return digits > 0
}

// mayBecome tells whether the file at before may be what is at now, by their paths alone: it was left where it was, or
// rotated.
func mayBecome(before, now string) bool {
	return before == now || rotatedName(path.Base(before), path.Base(now))
}

// related tells whether two files may be one log at two times, by their names alone: they begin alike up to the first
// dot or digit.
func related(a, b string) bool {
	stem := func(s string) string {
		s = path.Base(s)
		if i := strings.IndexFunc(s, func(r rune) bool { return r == '.' || r >= '0' && r <= '9' }); i > 0 {
			s = s[:i]
		}
		return strings.TrimRight(s, "-_")
	}
	return stem(a) == stem(b)
}

// SPDX-License-Identifier: Apache-2.0

package find

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

const (
	// maxAlternatives bounds the number of patterns that the braces of one pattern, or of all patterns of an Exclude, expand to.
	maxAlternatives = 256
	// maxPattern bounds the length of a pattern, in bytes.
	maxPattern = 4096
	// maxAnyDepth bounds how often ** may occur: each one adds a place in the pattern that a directory may be at.
	maxAnyDepth = 8
)

// Pattern is a compiled pattern of paths.
type Pattern struct {
	// base is the directory that the pattern names before its first wildcard. No file outside of it can match.
	base string
	// alternatives are the patterns that braces expand to, each as the segments of a path below base.
	alternatives [][]string
}

// Compile compiles a pattern: * ? [] within a segment, ** for any number of directories, {a,b} for alternatives, a backslash
// before a literal character. Its error says what is wrong, without naming the pattern.
func Compile(pattern string) (*Pattern, error) {
	if !strings.HasPrefix(pattern, "/") {
		return nil, errors.New("the path is not absolute")
	}
	if slices.Contains(strings.Split(pattern, "/"), "..") {
		return nil, errors.New(`the path contains ".."`)
	}
	if strings.HasSuffix(pattern, "/") {
		return nil, errors.New("the path names a directory; add a pattern of the files in it, as in " + pattern + "*.log")
	}
	alternatives, err := expand(pattern)
	if err != nil {
		return nil, err
	}
	p := &Pattern{base: literalBase(pattern)}
	for _, a := range alternatives {
		a = path.Clean(a) // removes "//" and "/./"; there is no ".." here unless braces made it
		segments := strings.Split(strings.TrimPrefix(strings.TrimPrefix(a, p.base), "/"), "/")
		if slices.Contains(segments, "..") || !strings.HasPrefix(a, p.base) {
			return nil, errors.New(`the path contains ".."`)
		}
		segments = slices.CompactFunc(segments, func(a, b string) bool { return a == "**" && b == "**" })
		if n := len(segments) - len(slices.DeleteFunc(slices.Clone(segments), func(s string) bool { return s == "**" })); n > maxAnyDepth {
			return nil, fmt.Errorf("the pattern has ** %d times, more than %d", n, maxAnyDepth)
		}
		p.alternatives = append(p.alternatives, segments)
	}
	return p, nil
}

// Base returns the directory, as the writer knows it, that all selected files lie below.
func (p *Pattern) Base() string { return p.base }

// Selects reports whether the pattern selects name, an absolute path.
func (p *Pattern) Selects(name string) bool {
	rel, inside := strings.CutPrefix(name, strings.TrimSuffix(p.base, "/")+"/")
	return inside && slices.ContainsFunc(p.alternatives, func(segments []string) bool {
		return doublestar.MatchUnvalidated(strings.Join(segments, "/"), rel)
	})
}

// Exclude is a list of patterns of files that are not read. Its zero value excludes nothing.
type Exclude struct {
	names, paths []string // braces are expanded, because patterns without braces are matched in linear time
}

// CompileExclude compiles patterns of paths or, without a slash, of names. Its error names the pattern that is wrong.
func CompileExclude(patterns []string) (Exclude, error) {
	var x Exclude
	for _, p := range patterns {
		all, err := expand(p)
		if err != nil {
			return Exclude{}, fmt.Errorf("exclude %.200q: %w", p, err)
		}
		if strings.Contains(p, "/") {
			x.paths = append(x.paths, all...)
		} else {
			x.names = append(x.names, all...)
		}
		if len(x.paths)+len(x.names) > maxAlternatives {
			return Exclude{}, fmt.Errorf("the braces of exclude expand to more than %d patterns", maxAlternatives)
		}
	}
	return x, nil
}

// Matches reports whether the file with this absolute path is excluded.
func (x *Exclude) Matches(file string) bool {
	match := func(subject string) func(string) bool {
		return func(pattern string) bool { return doublestar.MatchUnvalidated(pattern, subject) }
	}
	return slices.ContainsFunc(x.names, match(path.Base(file))) || slices.ContainsFunc(x.paths, match(file))
}

// ByPath reports whether files are excluded by their paths, so that it matters under which name a file is found.
func (x *Exclude) ByPath() bool { return len(x.paths) > 0 }

// expand validates a pattern and returns the patterns without braces that it expands to.
func expand(pattern string) ([]string, error) {
	if len(pattern) > maxPattern {
		return nil, fmt.Errorf("the pattern has %d bytes, more than %d", len(pattern), maxPattern)
	}
	if !doublestar.ValidatePattern(pattern) {
		return nil, errors.New("the pattern is malformed: an open [ or {, or a backslash at its end")
	}
	return expandBraces(pattern)
}

// literalBase returns the longest directory at the beginning of pattern that has no wildcard in it.
func literalBase(pattern string) string {
	end := strings.IndexAny(pattern, `*?[{\`)
	if end < 0 {
		end = len(pattern)
	}
	return path.Clean("/" + pattern[:strings.LastIndexByte(pattern[:end], '/')+1])
}

// expandBraces returns the patterns without braces that pattern expands to.
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
			return nil, fmt.Errorf("the braces expand to more than %d paths", maxAlternatives)
		}
	}
	return all, nil
}

// firstBraces finds the first {a,b} in pattern and returns where it opens, its parts, and what follows it.
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

// matches reports whether segment matches name. Neither has a slash, and segment is not "**".
func matches(segment, name string) bool {
	return segment == name || doublestar.MatchUnvalidated(segment, name)
}

// RotatedName reports whether name is what a rotation calls a file that was called live: live followed by a number or a date,
// compressed or not.
func RotatedName(live, name string) bool {
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

// MayBecome reports whether, by the paths alone, the file at before may be the one at now: it stayed where it was, or was
// rotated.
func MayBecome(before, now string) bool {
	return before == now || RotatedName(path.Base(before), path.Base(now))
}

// CopyName reports whether name is what a rotation calls a file that was called live, or its copy: as for RotatedName, or with a
// date before the extension of live.
func CopyName(live, name string) bool {
	if RotatedName(live, name) {
		return true
	}
	ext := path.Ext(live)
	stem, ok := strings.CutSuffix(strings.TrimSuffix(name, ".gz"), ext)
	live = strings.TrimSuffix(live, ext)
	return ok && ext != "" && RotatedName(live, stem) && len(strings.TrimPrefix(stem, live)) > len("-060102")
}

// Related reports whether, by their names alone, two files may be the same log at two times: their stems are equal.
func Related(a, b string) bool { return Stem(a) == Stem(b) }

// Stem returns a file's name up to the first dot or digit, without separators before that. If the name begins with a dot or
// digit, as the kubelet's files do, it is cut at the next dot instead.
func Stem(name string) string {
	name = path.Base(name)
	i := strings.IndexFunc(name, func(r rune) bool { return r == '.' || r >= '0' && r <= '9' })
	if i == 0 {
		i += 1 + strings.IndexByte(name[1:], '.')
	}
	if i > 0 {
		name = name[:i]
	}
	return strings.TrimRight(name, "-_")
}

// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// stdoutOnly and stderrOnly are sources of SLS' environment mode: one stream of the container's output.
const stdoutOnly, stderrOnly = "stdout-only", "stderr-only"

// maxSources bounds the sources of a declaration.
const maxSources = 64

// splitSources splits value at the commas outside of {} and [] that precede a source. Other commas belong to a path.
func splitSources(value string) (sources []string) {
	depth, start := 0, 0
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '\\':
			i++
		case '{', '[':
			depth++
		case '}', ']':
			depth = max(0, depth-1)
		case ',':
			if depth == 0 && beginsSource(value[i+1:]) {
				sources = append(sources, strings.TrimSpace(value[start:i]))
				start = i + 1
			}
		}
	}
	return append(sources, strings.TrimSpace(value[start:]))
}

func beginsSource(s string) bool {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "/") {
		return true
	}
	word, _, _ := strings.Cut(s, ",")
	word = strings.TrimSpace(word)
	return word == Stdout || word == stdoutOnly || word == stderrOnly
}

// setSource validates and sets the sources.
func (d *Declaration) setSource(value string) error {
	d.Source = strings.TrimSpace(value)
	all := splitSources(value)
	if len(all) > maxSources {
		return fmt.Errorf("names %d sources; at most %d are allowed", len(all), maxSources)
	}
	for i, s := range all {
		if s == stdoutOnly || s == stderrOnly {
			if err := d.setStreams(strings.TrimSuffix(s, "-only")); err != nil {
				return err
			}
			all[i] = Stdout
		} else if err := checkSource(s); err != nil {
			return err
		}
	}
	if len(all) == 1 {
		d.Source = all[0]
		return nil
	}
	for _, s := range all {
		if !slices.Contains(d.Sources, s) {
			d.Sources = append(d.Sources, s)
		}
	}
	return nil
}

// showSource replaces the validated source by the text to show to users.
func (d *Declaration) showSource(shown string) {
	switch all := splitSources(shown); {
	case len(d.Sources) > 0:
		d.Source = strings.TrimSpace(shown)
		if len(all) == len(d.Sources) {
			d.Sources = all
		}
	case d.Source != Stdout:
		d.Source = all[0]
	}
}

// setStreams sets which of a container's output streams to collect.
func (d *Declaration) setStreams(value string) error {
	wanted := ""
	for _, s := range SplitList(value) {
		switch s = strings.ToLower(s); {
		case s != "stdout" && s != "stderr":
			return fmt.Errorf("%s is neither stdout nor stderr", quote(s))
		case wanted == "" || wanted == s:
			wanted = s
		default:
			wanted = "both"
		}
	}
	if d.Streams != "" && wanted != d.Streams {
		wanted = "both" // stdout-only,stderr-only
	}
	if d.Streams = wanted; wanted == "both" {
		d.Streams = ""
	}
	return nil
}

func checkSource(value string) error {
	switch {
	case value == Stdout:
		return nil
	case value == "":
		return errors.New("is empty; it takes stdout or the absolute path of a file")
	case strings.EqualFold(value, Stdout):
		return fmt.Errorf("%s is neither stdout nor an absolute path; did you mean stdout?", quote(value))
	case value == "stderr":
		return errors.New("stderr can't be collected apart; stdout means both, and each record says which in its field stream; stderr-only is the one alone")
	case value[0] != '/':
		return fmt.Errorf("%s is neither stdout nor an absolute path", quote(value))
	case hasControl(value):
		return fmt.Errorf("%s holds a control character", quote(value))
	}
	return checkPattern(value)
}

// Bounds of a pattern. Matching runs for each name in a directory at each scan. Its time is proportional to the expansions,
// and grows by a power with each further double star.
const (
	maxPath       = 4096 // PATH_MAX, the longest path that Linux accepts
	maxExpansions = 256  // of {a,b}: the product over all braces, however they nest
	maxStars      = 3    // double stars
	maxExcludes   = 64   // patterns in exclude
)

// checkPattern validates a path pattern.
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
	if n := strings.Count(p, "**"); n > maxStars {
		return fmt.Errorf("%s has %d double stars; at most %d are allowed", quote(p), n, maxStars)
	}
	if n, _ := expansions(p, 0); n > maxExpansions {
		return fmt.Errorf("%s expands to more than %d patterns: its braces multiply", quote(p), maxExpansions)
	}
	return nil
}

// checkExcludes validates the patterns of exclude.
func checkExcludes(value string) error {
	patterns := SplitList(value)
	if len(patterns) > maxExcludes {
		return fmt.Errorf("has %d patterns; at most %d are allowed", len(patterns), maxExcludes)
	}
	for _, p := range patterns {
		if err := checkPattern(p); err != nil {
			return err
		}
	}
	return nil
}

// maxBraces is the maximum nesting of braces.
const maxBraces = 8

// expansions counts the patterns without braces that the valid pattern p expands to, up to the end of the enclosing brace,
// and returns that end. It stops counting above maxExpansions.
func expansions(p string, depth int) (n, end int) {
	if depth > maxBraces {
		return maxExpansions + 1, len(p)
	}
	alternatives, product := 0, 1
	for i := 0; i < len(p); i++ {
		switch p[i] {
		case '\\':
			i++
		case '[':
			if length := strings.IndexByte(p[i+1:], ']'); length >= 0 {
				i += length + 1
			}
		case '{':
			inner, length := expansions(p[i+1:], depth+1)
			product = min(product*inner, maxExpansions+1)
			i += length + 1
		case ',':
			if depth > 0 {
				alternatives, product = min(alternatives+product, maxExpansions+1), 1
			}
		case '}':
			if depth > 0 {
				return min(alternatives+product, maxExpansions+1), i
			}
		}
	}
	return product, len(p)
}

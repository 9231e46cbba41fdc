// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"cmp"
	"slices"
	"strings"
)

// entry is one key that was set for a log.
type entry struct {
	path   string // "" is the source
	value  string
	key    string // as written
	prefix string // the prefix at its beginning; empty in a file
	place  string // its place in a file, as the beginning of messages; empty for labels and variables

	written string // the value before expansion, if that must be shown instead of value

	annotation bool // from a Pod's annotation, which others may have written than the Pod's author
}

// shown returns the value to show to users.
func (e *entry) shown() string {
	if e.written != "" {
		return e.written
	}
	return e.value
}

// sub returns the key of word below e, in the spelling of e. e's path is a single word.
func (e *entry) sub(word string) string {
	if strings.HasSuffix(e.key, "_"+e.path) {
		return e.key + "_" + word
	}
	return e.key + "." + word
}

// draft collects the entries of one log. Later entries override earlier ones.
type draft struct {
	name     string
	entries  []entry
	fields   []Pair // tags with the lowest priority: of custom_config and log-opts
	unknown  []unknownEntry
	errors   []Problem
	warnings []Problem
}

// unknownEntry is an entry with a path that the dialect does not have.
type unknownEntry struct {
	entry
	path string
}

func (dr *draft) add(e entry) { dr.entries = append(dr.entries, e) }

// refuse records an error in e. A declaration with errors is refused.
func (dr *draft) refuse(e entry, message string) {
	dr.errors = append(dr.errors, Problem{e.key, e.place + message})
}

func (dr *draft) warn(e entry, message string) {
	dr.warnings = append(dr.warnings, Problem{e.key, e.place + message})
}

// get returns the entry of path.
func (dr *draft) get(path string) (entry, bool) {
	for i := range dr.entries {
		if e := &dr.entries[i]; e.path == path {
			return *e, true
		}
	}
	return entry{}, false
}

func (dr *draft) has(path string) bool {
	_, ok := dr.get(path)
	return ok
}

// below reports whether there is an entry for path or for a path below it.
func (dr *draft) below(path string) bool {
	for i := range dr.entries {
		if rest, ok := strings.CutPrefix(dr.entries[i].path, path); ok && (rest == "" || rest[0] == '.') {
			return true
		}
	}
	return false
}

func (dr *draft) stdout() bool {
	e, ok := dr.get("")
	return ok && slices.ContainsFunc(splitSources(e.value), func(s string) bool { return s == Stdout || s == stdoutOnly || s == stderrOnly })
}

// resolve leaves one entry per path, the last one, sorted by path. An empty value removes what it overrides, except at the
// source.
func (dr *draft) resolve() {
	dr.onePrefix()
	slices.SortStableFunc(dr.entries, func(a, b entry) int { return strings.Compare(a.path, b.path) })
	kept := dr.entries[:0]
	for i, e := range dr.entries {
		overridden := i+1 < len(dr.entries) && dr.entries[i+1].path == e.path
		if !overridden && (e.path == "" || strings.TrimSpace(e.value) != "") {
			kept = append(kept, e)
		}
	}
	dr.entries = kept
}

// onePrefix chooses a prefix if several declare a log of this name. As in log-pilot, the last in alphabetical order wins, and
// the entries of the other declaring prefixes are removed. A prefix that only describes the log adds to it.
func (dr *draft) onePrefix() {
	several, last := false, ""
	for _, e := range dr.entries {
		several = several || e.prefix != dr.entries[0].prefix
		if e.path == "" && e.prefix+"." > last {
			last = e.prefix + "."
		}
	}
	if !several {
		return
	}
	loser := make(map[string]bool)
	for _, e := range dr.entries {
		if e.path == "" && e.prefix != "" && e.prefix+"." != last {
			loser[e.prefix] = true
		}
	}
	dr.entries = slices.DeleteFunc(dr.entries, func(e entry) bool {
		if loser[e.prefix] {
			dr.warn(e, "is ignored: the prefix "+strings.TrimSuffix(last, ".")+" declares a log named "+dr.name+" too")
		}
		return loser[e.prefix]
	})
	slices.SortStableFunc(dr.entries, func(a, b entry) int {
		if a.prefix == "" || b.prefix == "" { // entries of a file come first and are overridden
			return cmp.Compare(len(a.prefix), len(b.prefix))
		}
		return strings.Compare(a.prefix+".", b.prefix+".")
	})
}

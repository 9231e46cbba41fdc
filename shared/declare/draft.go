// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"cmp"
	"slices"
	"strings"
)

// entry is one key that was set, below the name of a log.
type entry struct {
	path   string // "" is the source
	value  string
	key    string // as it was written
	prefix string // which of the prefixes it began with; empty in a file
	place  string // where in a file it stands, as a beginning of messages; empty elsewhere

	written string // the value before variables were expanded, where it is to be shown in place of value

	annotation bool // it is a Pod's annotation, which others than the Pod's author may have written
}

// shown is the value for who shows what is declared.
func (e *entry) shown() string {
	if e.written != "" {
		return e.written
	}
	return e.value
}

// sub is the key of what stands below e, whose path is one word, spelled as e is.
func (e *entry) sub(word string) string {
	if strings.HasSuffix(e.key, "_"+e.path) {
		return e.key + "_" + word
	}
	return e.key + "." + word
}

// draft is all that was said about one log, in the order in which it counts: later entries override earlier ones.
type draft struct {
	name     string
	entries  []entry
	fields   []Pair // tags of the least weight: of custom_config, and of log-opts
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

// refuse says what is wrong with e, and thereby refuses the declaration.
func (dr *draft) refuse(e entry, message string) {
	dr.errors = append(dr.errors, Problem{e.key, e.place + message})
}

func (dr *draft) warn(e entry, message string) {
	dr.warnings = append(dr.warnings, Problem{e.key, e.place + message})
}

// get is the entry of path.
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

// below reports whether anything is said about path, or about what stands below it.
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

// resolve leaves one entry a path, the one that counts, in the order of the paths. An empty value says nothing, save at
// the source, but it overrides.
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

// onePrefix settles which prefix counts where several declare a log of this name: as for log-pilot, the last in
// alphabetical order declares it, and nothing that others say about it is left. One that only describes what another
// declares adds to it.
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
		if a.prefix == "" || b.prefix == "" { // a file's count least
			return cmp.Compare(len(a.prefix), len(b.prefix))
		}
		return strings.Compare(a.prefix+".", b.prefix+".")
	})
}

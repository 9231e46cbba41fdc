// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// DockerOptions are the log-opts for the engine itself, or for its cache of what a driver collects (moby, daemon/logger:
// loginfo.go, ring.go, loggerutils/cache and local/config.go).
var DockerOptions = []string{
	"cache-compress", "cache-disabled", "cache-max-file", "cache-max-size", "compress", "env", "env-regex", "labels",
	"labels-regex", "max-buffer-size", "max-file", "max-size", "mode", "tag",
}

// cacheOptions are the DockerOptions that bound the engine's cache, which serves docker logs if the driver does not. Users of
// json-file know them as the limits of the log itself.
var cacheOptions = []string{"cache-compress", "cache-max-file", "cache-max-size", "compress", "max-file", "max-size"}

// WarnOfCache returns warnings for options of the engine's cache if it has none: the driver serves docker logs itself
// (READ_LOGS), or cache-disabled turns it off.
func WarnOfCache(options map[string]string, readLogs bool) []Problem {
	why := "READ_LOGS is set"
	if !readLogs {
		if off, err := strconv.ParseBool(options["cache-disabled"]); err != nil || !off {
			return nil
		}
		why = "cache-disabled is set"
	}
	var problems []Problem
	for _, key := range cacheOptions {
		if _, ok := options[key]; ok {
			problems = append(problems, Problem{key, "has no effect: the engine keeps no cache, because " + why +
				"; REMORA_SPOOL_MAX_BYTES_PER_CONTAINER and REMORA_HISTORY_BYTES bound what is kept"})
		}
	}
	return problems
}

// group is a log-opt and everything below it. It is applied as a whole or not at all: the keys of a csv format mean nothing
// for json.
type group struct {
	path    string
	entries []entry
}

// defaults parses log-opts: the dialect's paths, with dots, dashes or underscores (rate-limit, format_time_key). An invalid
// option is ignored with a warning.
func (r *reader) defaults(options map[string]string, others []string) []group {
	var groups []group
	for _, key := range slices.Sorted(maps.Keys(options)) {
		if slices.Contains(others, key) {
			continue
		}
		path, ok := optionPath(key)
		if !ok {
			r.warning(key, "unknown option, ignored"+didYouMean(key, slices.Concat(fixed, recent)))
			continue
		}
		if strings.TrimSpace(options[key]) == "" {
			continue
		}
		word, _, _ := strings.Cut(path, ".")
		at := slices.IndexFunc(groups, func(g group) bool { return g.path == word })
		if at < 0 {
			at, groups = len(groups), append(groups, group{path: word})
		}
		groups[at].entries = append(groups[at].entries, entry{path: path, value: options[key], key: key})
	}
	return slices.DeleteFunc(groups, func(g group) bool { return !r.sound(g) })
}

// optionPath returns the path of an option.
func optionPath(key string) (string, bool) {
	if isKnown(key) {
		return key, true
	}
	path, ok := byUnderscores[strings.NewReplacer(".", "_", "-", "_").Replace(key)]
	return path, ok
}

// sound reports whether g is valid, and warns if not.
func (r *reader) sound(g group) bool {
	probe := draft{name: "options", entries: append([]entry{{value: Stdout}}, g.entries...)}
	probe.resolve()
	_, ok := probe.build(r)
	for _, p := range append(probe.warnings, probe.errors...) {
		r.warning(p.Key, p.Message)
	}
	if !ok {
		for _, e := range g.entries {
			if !slices.ContainsFunc(probe.errors, func(p Problem) bool { return p.Key == e.key }) {
				r.warning(e.key, "is ignored because another option of "+g.path+" is invalid")
			}
		}
	}
	return ok
}

// apply adds the defaults that dr does not set. Tags are merged.
func (dr *draft) apply(defaults []group) {
	for _, g := range defaults {
		if g.path == "tags" {
			dr.applyTags(g)
		} else if !dr.below(g.path) {
			dr.entries = append(dr.entries, g.entries...)
		}
	}
}

func (dr *draft) applyTags(g group) {
	var tags []Pair
	for _, e := range g.entries {
		if key, ok := strings.CutPrefix(e.path, "tags."); ok {
			tags = append(tags, Pair{key, e.value})
			continue
		}
		pairs, _ := parsePairs(e.value) // validated by sound
		tags = append(tags, pairs...)
	}
	dr.fields = append(tags, dr.fields...)
}

// addDefault declares stdout if nothing valid declares it, so that every container that chose this driver is collected. The
// log is named after the target as far as that is a valid name.
func (r *reader) addDefault(target string, defaults []group) {
	if slices.ContainsFunc(r.set.Declarations, func(d Declaration) bool { return d.HasStdout() }) {
		return
	}
	name := strings.Map(func(c rune) rune {
		if c < 0x80 && isNameByte(byte(c)) {
			return c
		}
		return '_'
	}, target)
	name = name[:min(len(name), maxName-8)]
	for base, n := name, 2; r.drafts[name] != nil || name == ""; n++ { // a file may be declared with the same name
		name = base + "_" + strconv.Itoa(n)
	}
	dr := &draft{name: name, entries: []entry{{value: Stdout}, {path: "target", value: target}}}
	for _, g := range defaults {
		if g.path == "target" {
			dr.entries = dr.entries[:1]
		}
	}
	dr.apply(defaults)
	r.finish(dr)
	slices.SortFunc(r.set.Declarations, func(a, b Declaration) int { return strings.Compare(a.Name, b.Name) })
}

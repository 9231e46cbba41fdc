// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// DockerOptions are the log-opts that mean something to the engine itself, or to its cache of what a driver collects (moby,
// daemon/logger: loginfo.go, ring.go, loggerutils/cache and local/config.go).
var DockerOptions = []string{
	"cache-compress", "cache-disabled", "cache-max-file", "cache-max-size", "compress", "env", "env-regex", "labels",
	"labels-regex", "max-buffer-size", "max-file", "max-size", "mode", "tag",
}

// cacheOptions are those of DockerOptions that say how large the engine's cache may grow, which serves docker logs where
// the driver does not. The user of json-file knows them as the limits of the log itself.
var cacheOptions = []string{"cache-compress", "cache-max-file", "cache-max-size", "compress", "max-file", "max-size"}

// WarnOfCache returns warnings for options about the engine's cache where there is none: the driver serves docker logs
// itself (READ_LOGS), or cache-disabled turns it off.
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

// group is what log-opts say about one thing: a key with all that stands below it. It is taken over whole, or not at all:
// the keys of a csv say nothing about a json.
type group struct {
	path    string
	entries []entry
}

// defaults reads log-opts: the paths of the dialect, also with dashes or underscores (rate-limit, format_time_key). What
// is wrong with them is a warning, and they count as not set.
func (r *reader) defaults(options map[string]string, others []string) []group {
	var groups []group
	for _, key := range slices.Sorted(maps.Keys(options)) {
		if slices.Contains(others, key) {
			continue
		}
		path, ok := optionPath(key)
		if !ok {
			r.warning(key, "unknown option, it is ignored"+didYouMean(key, slices.Concat(fixed, recent)))
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

// optionPath is the path that an option's key means.
func optionPath(key string) (string, bool) {
	if isKnown(key) {
		return key, true
	}
	path, ok := byUnderscores[strings.NewReplacer(".", "_", "-", "_").Replace(key)]
	return path, ok
}

// sound reports whether g could be declared, and warns of why not.
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
				r.warning(e.key, "is ignored, because another option of "+g.path+" is wrong")
			}
		}
	}
	return ok
}

// apply adds what the defaults say and dr does not. Tags add up.
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
		pairs, _ := parsePairs(e.value) // it was found sound
		tags = append(tags, pairs...)
	}
	dr.fields = append(tags, dr.fields...)
}

// undeclared adds the declaration of a stdout that nothing declares, or only what had to be refused: no container that
// chose this driver goes without. Its name is the target's, as far as that can be one.
func (r *reader) undeclared(target string, defaults []group) {
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
	for base, n := name, 2; r.drafts[name] != nil || name == ""; n++ { // a file may be declared under the same name
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

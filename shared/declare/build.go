// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"fmt"
	"slices"
	"strings"

	"github.com/remora-logs/remora/shared/record"
)

// build returns the declaration of a resolved draft. ok is false if the draft is refused, with the reasons in dr.errors, or
// declares nothing.
func (dr *draft) build(r *reader) (Declaration, bool) {
	d := Declaration{Name: dr.name, Target: dr.name, FormatOptions: map[string]string{}, Tags: map[string]string{}}
	source, ok := dr.get("")
	if !ok {
		dr.refuseUndeclared(r)
		return d, false
	}
	for _, pair := range dr.fields {
		d.Tags[pair.Key] = pair.Value
	}
	if err := d.setSource(source.value); err != nil {
		dr.refuse(source, err.Error()+r.misspelt(source.key))
	}
	d.showSource(source.shown())
	for _, u := range dr.unknown {
		dr.warn(u.entry, u.message()+"; the log is collected without it")
	}
	dr.setFormat(&d)
	for _, e := range dr.entries {
		if err := d.set(r.d, e); err != nil {
			dr.refuse(e, err.Error())
		}
	}
	dr.tagsFrom(&d, &r.vars)
	dr.checkTags(&d)
	dr.checkFormat(&d)
	dr.checkMultiline(&d)
	dr.checkUse(&d)
	dr.checkFilters(&d)
	return d, len(dr.errors) == 0
}

// refuseUndeclared refuses the keys of a log that is not declared.
func (dr *draft) refuseUndeclared(r *reader) {
	near := didYouMean(dr.name, r.declared())
	for _, e := range dr.entries {
		message := "describes the log " + dr.name + ", which is not declared" + near
		if looksLikeSource(e.value) && strings.Contains(e.key, "_logs_") {
			message += "; a log whose name ends in _" + strings.ReplaceAll(e.path, ".", "_") + " can be declared by a label only"
		}
		dr.refuse(e, message)
	}
	for _, u := range dr.unknown {
		dr.refuse(u.entry, u.message())
	}
}

// message returns the error message of u.
func (u *unknownEntry) message() string {
	if looksLikeSource(u.value) {
		return unknownKey(u.path) + "; the name of a log can't hold a dot"
	}
	return unknownKey(u.path)
}

// declared returns the names of the logs that have a source, for suggestions; none if there are so many that comparing all of
// them would take long.
func (r *reader) declared() []string {
	if len(r.drafts) > 100 {
		return nil
	}
	var names []string
	for name, dr := range r.drafts {
		if dr.has("") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// misspelt returns "; did you mean …?" for a variable whose whole key was taken for a name because the part after a declared
// log's name is a misspelt path.
func (r *reader) misspelt(key string) string {
	for _, p := range r.d.prefixes {
		rest, ok := strings.CutPrefix(key, p.env)
		for i := max(1, len(rest)-32); ok && i < len(rest); i++ {
			if rest[i] != '_' {
				continue
			}
			if dr := r.drafts[rest[:i]]; dr != nil && dr.has("") {
				if near := nearest(rest[i+1:], underscored); near != "" {
					return "; did you mean " + p.env + rest[:i+1] + near + "?"
				}
			}
		}
	}
	return ""
}

// set validates e and applies it. The source and the format are already set.
func (d *Declaration) set(dialect *Dialect, e entry) (err error) {
	group, rest, _ := strings.Cut(e.path, ".")
	switch group {
	case "":
	case "tags":
		err = d.setTags(rest, e.shown())
	case "target":
		if d.Target = strings.TrimSpace(e.shown()); hasControl(d.Target) {
			err = fmt.Errorf("%s holds a control character", quote(e.shown()))
		}
	case "format":
		if rest != "" {
			d.FormatOptions[rest], err = d.formatOption(rest, e.value)
		}
	case "multiline":
		put(&d.Multiline, rest, e.value)
		err = new(Multiline).set(rest, e.value)
	case "streams":
		err = d.setStreams(e.value)
	case "pipeline":
		err = d.setPipeline(e.value)
	case "project", "shard", "ttl":
		put(&d.Store, group, strings.TrimSpace(e.value))
	case "tags_from": // below, when all tags are known
	case "output":
		d.Outputs, err = dialect.outputNames(e.value)
	case "container":
		if d.Container = strings.TrimSpace(e.value); strings.ContainsAny(d.Container, " ,/") || hasControl(d.Container) {
			err = fmt.Errorf("%s is not a valid name of a container", quote(e.value))
		}
	case "exclude", "encoding", "ignore_older", "read_from":
		var value string
		value, err = fileOption(group, e.value)
		put(&d.Files, group, value)
	default:
		put(&d.Filters, e.path, e.value)
		err = new(Filters).set(e.path, e.value)
	}
	return err
}

func put(m *map[string]string, key, value string) {
	if *m == nil {
		*m = make(map[string]string)
	}
	(*m)[key] = value
}

func (d *Declaration) setTags(key, value string) error {
	if key != "" {
		d.Tags[key] = value
		return nil
	}
	pairs, err := parsePairs(value)
	for _, p := range pairs {
		d.Tags[p.Key] = p.Value
	}
	return err
}

// fileOption returns value in the canonical form that Declaration.Files documents.
func fileOption(option, value string) (string, error) {
	trimmed := strings.TrimSpace(value)
	lower := strings.ToLower(trimmed)
	switch option {
	case "encoding":
		name, ok := encodings[lower]
		if !ok {
			names := []string{"utf-8", "utf-16", "utf-16le", "utf-16be", "gbk", "gb18030", "latin1"}
			return "", fmt.Errorf("%s is none of %s%s", quote(value), strings.Join(names, ", "), didYouMean(lower, names))
		}
		return name, nil
	case "read_from":
		if lower != "beginning" && lower != "end" {
			return "", fmt.Errorf("%s is neither beginning nor end", quote(value))
		}
		return lower, nil
	case "ignore_older":
		d, err := parseDuration(trimmed)
		return d.String(), err
	}
	return trimmed, checkExcludes(value)
}

func (d *Dialect) outputNames(value string) ([]string, error) {
	names := SplitList(value)
	for _, name := range names {
		if len(d.outputs) > 0 && !slices.Contains(d.outputs, name) {
			return nil, fmt.Errorf("%s is none of the outputs %s%s", quote(name), strings.Join(d.outputs, ", "), didYouMean(name, d.outputs))
		}
	}
	return names, nil
}

// checkMultiline checks the keys of multiline against each other.
func (dr *draft) checkMultiline(d *Declaration) {
	if len(d.Multiline) == 0 {
		return
	}
	for _, e := range dr.entries {
		option, ok := strings.CutPrefix(e.path, "multiline.")
		switch expressions := d.Multiline["start"] + d.Multiline["end"] + d.Multiline["continue"]; {
		case !ok:
		case option == "preset" && expressions != "":
			dr.refuse(e, "a preset and an expression exclude each other: remove multiline.preset, or start, end and continue")
		case d.Multiline["preset"] == "" && expressions == "":
			dr.warn(e, "has no effect without multiline.start, multiline.end, multiline.continue or multiline.preset")
		}
	}
}

// checkFilters refuses more filters than one declaration may have, and names the first key beyond the limit.
func (dr *draft) checkFilters(d *Declaration) {
	expressions, edits := 0, 0
	for _, key := range []string{"start", "end", "continue", "flush"} {
		if d.Multiline[key] != "" {
			expressions++
		}
	}
	if d.FormatOptions["pattern"] != "" {
		expressions++
	}
	entries := slices.SortedFunc(slices.Values(dr.entries), func(a, b entry) int { return compareKeys(a.path, b.path) })
	for _, e := range entries {
		if _, ok := d.Filters[e.path]; !ok {
			continue
		}
		var f Filters
		if err := f.set(e.path, e.value); err != nil {
			continue // it is refused already
		}
		before, beforeEdits := expressions, edits
		expressions, edits = expressions+f.expressions(), edits+f.edits()
		if before <= MaxExpressions && expressions > MaxExpressions {
			dr.refuse(e, fmt.Sprintf("is one too many: a declaration has at most %d expressions in format.pattern, multiline, keep, drop and mask", MaxExpressions))
		}
		if beforeEdits <= MaxEdits && edits > MaxEdits {
			dr.refuse(e, fmt.Sprintf("is one too many: a declaration adds, removes and renames at most %d fields", MaxEdits))
		}
	}
}

// maxPipeline bounds the name of an ingest pipeline, in bytes.
const maxPipeline = 256

// setPipeline sets the tag from which the output elasticsearch takes the ingest pipeline.
func (d *Declaration) setPipeline(value string) error {
	value = strings.TrimSpace(value)
	if value == "" || len(value) > maxPipeline || hasControl(value) {
		return fmt.Errorf("%s is not the name of an ingest pipeline, of 1 to %d bytes", quote(value), maxPipeline)
	}
	d.Tags["pipeline"] = value
	return nil
}

// checkUse warns about valid keys that have no effect.
func (dr *draft) checkUse(d *Declaration) {
	for _, e := range dr.entries {
		switch group, key, _ := strings.Cut(e.path, "."); group {
		case "tags":
			dr.warnOfTag(e, key)
			pairs, _ := parsePairs(e.value)
			for i := 0; i < len(pairs) && key == ""; i++ {
				dr.warnOfTag(e, pairs[i].Key)
			}
		case "exclude", "encoding", "ignore_older", "read_from", "container":
			if len(d.Paths()) == 0 {
				dr.warn(e, "has no effect on stdout")
			}
		case "streams":
			if !d.HasStdout() {
				dr.warn(e, "has no effect on files")
			}
		}
	}
}

func (dr *draft) warnOfTag(e entry, tag string) {
	if record.HasMember(tag) {
		dr.warn(e, "the tag "+quote(tag)+" is left out: a record has a member of that name")
	}
}

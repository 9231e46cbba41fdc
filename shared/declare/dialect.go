// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// DefaultPrefix is the prefix of keys if PILOT_LOG_PREFIX is not set.
const DefaultPrefix = "aliyun"

// Dialect reads declarations. It is immutable and safe for concurrent use.
type Dialect struct {
	prefixes []prefix // longest first: if two match a key, the longer one counts
	outputs  []string

	protected map[string]bool // variables that are never used
	allowed   []string        // patterns of the variables that annotations may use
}

// prefix is one element of PILOT_LOG_PREFIX, in the forms that begin labels and environment variables.
type prefix struct {
	name       string
	label, env string // aliyun.logs. and aliyun_logs_
}

// New returns the dialect of the prefixes in list, separated by commas as in PILOT_LOG_PREFIX; an empty list means
// DefaultPrefix. outputs are the outputs that a declaration may name; without any, every name is accepted.
func New(list string, outputs ...string) *Dialect {
	d := &Dialect{outputs: outputs, allowed: DefaultTagsFrom}
	var names []string
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		names = []string{DefaultPrefix}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		d.prefixes = append(d.prefixes, prefix{name: name, label: name + ".logs.", env: name + "_logs_"})
	}
	slices.SortStableFunc(d.prefixes, func(a, b prefix) int { return cmp.Compare(len(b.name), len(a.name)) })
	return d
}

// Input is everything that one container, or one sidecar, declares about logs. If two sources set the same key, the one
// further down in this struct wins: the environment overrides labels and annotations key by key, and these override the file.
type Input struct {
	// Options are those of --log-opt. They are defaults for every declaration of stdout. An invalid option is a warning,
	// never an error, because the options in daemon.json reach every container.
	Options map[string]string
	// Others are names of options that are not for this dialect and are skipped.
	Others []string
	// DefaultTarget is the target of stdout if no declaration wants it. If empty, such stdout is not collected.
	DefaultTarget string
	// Rules are the rules that select the container, in the order of their file.
	Rules []*Rule
	// File is the parsed REMORA_CONFIG; nil for none.
	File *File
	// Annotations are a Pod's, Labels a container's. Keys outside of the dialect are ignored in both.
	Annotations, Labels map[string]string
	// Env is the environment as NAME=value. Of equal names the last wins.
	Env []string
	// HideValues keeps $(NAME) instead of the variable's value. explain sets it.
	HideValues bool
}

// Read returns the declarations in in. It never fails: errors are part of the Set. The Set shares no mutable memory with
// in.
func (d *Dialect) Read(in Input) Set {
	r := reader{d: d, drafts: make(map[string]*draft), set: Set{Errors: []Problem{}, Warnings: []Problem{}}}
	r.vars = variables{dialect: d, env: in.Env, hide: in.HideValues}
	r.rules(in.Rules)
	r.file(in.File)
	r.annotated = true
	r.labels(in.Annotations)
	r.annotated = false
	r.labels(in.Labels)
	r.env(in.Env)
	r.resolveAmbiguous()
	r.custom()
	r.metaTags(in.Env)
	defaults := r.defaults(in.Options, in.Others)
	r.build(defaults)
	if in.DefaultTarget != "" {
		r.addDefault(in.DefaultTarget, defaults)
	}
	r.metadata(in.Labels)
	r.hintLoong(in.Env)
	r.set.Errors, r.set.Warnings = bounded(inOrder(r.set.Errors)), bounded(inOrder(r.set.Warnings))
	return r.set
}

// reader is the state of one Read.
type reader struct {
	d       *Dialect
	set     Set
	drafts  map[string]*draft // by the log's name
	unclear []ambiguous
	configs []entry // values of PREFIX_logs_custom_config
	vars    variables

	annotated bool // annotations are being read
}

// ambiguous is an entry whose key has two meanings, which can be told apart only when all logs are known.
type ambiguous struct {
	rest  string
	entry entry
}

func (r *reader) error(key, message string) {
	r.set.Errors = append(r.set.Errors, Problem{key, message})
}
func (r *reader) warning(key, message string) {
	r.set.Warnings = append(r.set.Warnings, Problem{key, message})
}

// labels reads labels or annotations in the order of their keys, so that the result is deterministic.
func (r *reader) labels(labels map[string]string) {
	var keys []string
	for key := range labels {
		if r.d.Concerns(key) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		r.key(key, labels[key])
	}
}

func (r *reader) env(env []string) {
	for _, variable := range env {
		if key, value, ok := strings.Cut(variable, "="); ok && r.d.Concerns(key) {
			r.key(key, value)
		}
	}
}

// Concerns reports whether the key of a label or variable belongs to the dialect, or was probably meant to. Remora looks at no
// other keys.
func (d *Dialect) Concerns(key string) bool {
	for i := range d.prefixes {
		if name := d.prefixes[i].name; len(key) > len(name) && key[:len(name)] == name && (key[len(name)] == '.' || key[len(name)] == '_') {
			return true
		}
	}
	return false
}

// key reads one key. Labels usually use dots and variables underscores, but both spellings are accepted in both.
func (r *reader) key(key, value string) {
	for i := range r.d.prefixes {
		p := &r.d.prefixes[i]
		if rest, ok := strings.CutPrefix(key, p.label); ok {
			r.dotted(rest, entry{prefix: p.name, key: key, value: value, annotation: r.annotated})
			return
		}
		if rest, ok := strings.CutPrefix(key, p.env); ok {
			r.underscored(rest, entry{prefix: p.name, key: key, value: value, annotation: r.annotated})
			return
		}
	}
	for i := range r.d.prefixes {
		r.warnOfNearMiss(&r.d.prefixes[i], key)
	}
}

// warnOfNearMiss warns about a key that nearly belongs to the dialect. It never shows the value, which may be a secret.
func (r *reader) warnOfNearMiss(p *prefix, key string) {
	rest, ok := strings.CutPrefix(key, p.name)
	switch {
	case !ok:
	case rest == ".logs" || rest == "_logs":
		r.error(key, "names no log; write "+quote(key+rest[:1]+"NAME"))
	case strings.HasPrefix(rest, ".log."), strings.HasPrefix(rest, "_log_"):
		r.warning(key, "is ignored; did you mean "+quote(p.name+rest[:4]+"s"+rest[4:])+"?")
	}
}

// dotted reads a key of the form NAME or NAME.path.
func (r *reader) dotted(rest string, e entry) {
	name, path, below := strings.Cut(rest, ".")
	switch {
	case rest == "custom_config" && !looksLikeSource(e.value):
		r.configs = append(r.configs, e)
	case !isName(name):
		r.badName(name, e)
	case below && !isKnown(path) && !slices.Contains(foreign, path):
		r.draft(name).unknown = append(r.draft(name).unknown, unknownEntry{e, path})
	case !below && isNameless(rest) && !looksLikeSource(e.value):
		r.nameless(e)
	default:
		e.path = path
		r.draft(name).add(e)
	}
}

// underscored reads a key of the form NAME or NAME_path. The name may contain underscores, and extends up to the longest known
// path at the end.
func (r *reader) underscored(rest string, e entry) {
	if rest == "custom_config" {
		r.configs = append(r.configs, e)
		return
	}
	if name, path, ok := splitPath(rest); ok {
		if !isName(name) {
			r.badName(name, e)
			return
		}
		e.path = path
		r.draft(name).add(e)
		return
	}
	anyLog := func(string) bool { return true }
	_, _, isOpen := splitOpen(rest, anyLog)
	_, _, isRecent := splitRecent(rest, anyLog)
	if isOpen || isRecent {
		r.unclear = append(r.unclear, ambiguous{rest, e})
		return
	}
	r.whole(rest, e)
}

// whole reads all of rest as a name.
func (r *reader) whole(rest string, e entry) {
	if isNameless(rest) && !looksLikeSource(e.value) {
		r.nameless(e)
		return
	}
	if !isName(rest) {
		r.badName(rest, e)
		return
	}
	r.draft(rest).add(e)
}

// resolveAmbiguous reads variables such as a_add_team, which is the key add.team of the log a if that is declared, and
// otherwise the log a_add_team. Shorter keys come first, because they may declare the logs of longer ones.
func (r *reader) resolveAmbiguous() {
	slices.SortStableFunc(r.unclear, func(a, b ambiguous) int { return cmp.Compare(len(a.rest), len(b.rest)) })
	isLog := func(name string) bool {
		dr := r.drafts[name]
		return dr != nil && dr.has("")
	}
	for _, o := range r.unclear {
		if name, path, ok := splitRecent(o.rest, isLog); ok {
			if looksLikeSource(o.entry.value) {
				r.whole(o.rest, o.entry)
				continue
			}
			o.entry.path = path
			r.draft(name).add(o.entry)
			continue
		}
		name, path, ok := splitOpen(o.rest, isLog)
		if !ok {
			r.whole(o.rest, o.entry)
			continue
		}
		if looksLikeSource(o.entry.value) {
			r.warning(o.entry.key, "is read as the key "+quote(path)+" of the log "+name+"; to declare a log named "+quote(o.rest)+", use a label")
		}
		o.entry.path = path
		r.draft(name).add(o.entry)
	}
}

func (r *reader) badName(name string, e entry) {
	switch {
	case name == "":
		r.error(e.key, "has no name for the log")
	case len(name) > maxName:
		r.error(e.key, "has a name that is too long: at most 249 bytes are allowed")
	default:
		r.error(e.key, quote(name)+" is not a valid name of a log: only letters, digits, _ and - are allowed")
	}
}

func (r *reader) draft(name string) *draft {
	dr := r.drafts[name]
	if dr == nil {
		dr = &draft{name: name, entries: make([]entry, 0, 4)}
		r.drafts[name] = dr
	}
	return dr
}

// build turns the drafts into declarations. Log-opts are defaults for those of stdout.
func (r *reader) build(defaults []group) {
	r.set.Declarations = make([]Declaration, 0, len(r.drafts))
	r.tagAll()
	sources := 0
	for _, name := range slices.Sorted(maps.Keys(r.drafts)) {
		dr := r.drafts[name]
		dr.resolve()
		dr.translate()
		dr.expandEntries(&r.vars)
		if source, ok := dr.get(""); ok {
			if sources++; sources > maxDeclarations {
				r.error(source.key, fmt.Sprintf("the log %s is refused: at most %d logs may be declared", name, maxDeclarations))
				continue
			}
		}
		if dr.stdout() {
			dr.apply(defaults)
		}
		r.finish(dr)
	}
}

func (r *reader) finish(dr *draft) {
	declaration, ok := dr.build(r)
	r.set.Errors = append(r.set.Errors, dr.errors...)
	r.set.Warnings = append(r.set.Warnings, dr.warnings...)
	if ok {
		r.set.Declarations = append(r.set.Declarations, declaration)
	}
}

// metadata collects the labels com.aliyun.access.*, which log-pilot adds to each record with dots replaced by underscores.
// Empty labels are skipped.
func (r *reader) metadata(labels map[string]string) {
	var keys []string
	for key, value := range labels {
		if value != "" && strings.HasPrefix(key, "com.aliyun.access.") {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return
	}
	slices.Sort(keys) // a.b and a_b become the same tag; the winner must not depend on the map's order
	r.set.Metadata = make(map[string]string, len(keys))
	size := 0
	for _, key := range keys {
		n := len(key) + len(labels[key])
		if len(labels[key]) > maxTagBytes || len(r.set.Metadata) >= maxMetadata || size+n > maxTagsBytes {
			r.warning(key, fmt.Sprintf("is left out: at most %d such labels, of %d bytes each and %d in all, become tags", maxMetadata, maxTagBytes, maxTagsBytes))
			continue
		}
		size += n
		r.set.Metadata[strings.ReplaceAll(key, ".", "_")] = labels[key]
	}
}

// inOrder sorts problems by key and removes duplicates.
func inOrder(problems []Problem) []Problem {
	slices.SortFunc(problems, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(a.Message, b.Message))
	})
	return slices.Compact(problems)
}

// looksLikeSource reports whether value can only be meant as a source.
func looksLikeSource(value string) bool {
	value = strings.TrimSpace(value)
	return value == Stdout || value == stdoutOnly || value == stderrOnly || strings.HasPrefix(value, "/")
}

// unknownKey returns the message about an unknown path.
func unknownKey(path string) string {
	switch path {
	case "index", "topic":
		return "unknown key; it is a tag: write " + path + "=… into the key tags"
	}
	return "unknown key" + didYouMean(path, slices.Concat(fixed, recent))
}

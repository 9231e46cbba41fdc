// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"strings"
)

// filebeatAsOurs are options of Filebeat that Remora always treats as true.
var filebeatAsOurs = []string{"fields_under_root", "json.keys_under_root", "json.overwrite_keys", "json.add_error_key", "symlinks", "recursive_glob.enabled"}

// filebeatNeedless are prefixes of Filebeat's options that need no counterpart: how files are opened, closed and forgotten.
var filebeatNeedless = []string{"close_", "clean_", "harvester_", "scan_", "scan_frequency", "backoff", "max_backoff", "backoff_factor", "publisher_pipeline."}

// customOption translates one of Filebeat's options for the log called name. values is its value, or a list.
func (r *reader) customOption(name, option string, values []string, e entry, read map[string]*filebeatLog) {
	dr := r.drafts[name]
	log := read[name]
	if log == nil {
		log = &filebeatLog{}
		read[name] = log
	}
	value := strings.Join(values, ",")
	add := func(path, value string) {
		e.path, e.value, e.place = path, value, e.place+name+"."+option+": "
		r.customKey(name, e)
	}
	warn := func(message string) { r.warning(e.key, e.place+quote(name+"."+option)+" "+message) }
	group, rest, _ := strings.Cut(option, ".")
	switch {
	case group == "fields" && rest != "" && value != "":
		dr.fields = append(dr.fields, Pair{rest, value})
	case group == "fields":
		dr.refuse(e, e.place+quote(name+"."+option)+" needs a key behind fields. and a value")
	case option == "multiline.pattern", option == "multiline.negate", option == "multiline.match":
		if log.multiline == nil {
			log.multiline = &filebeat{}
		}
		log.multiline.set(rest, value)
	case option == "multiline.type" && value == "pattern":
	case group == "multiline" && isKnown(option):
		add(option, value)
	case option == "include_lines":
		add("keep", anyOf(values))
	case option == "exclude_lines":
		add("drop", anyOf(values))
	case option == "exclude_files":
		r.excludeFiles(values, add, warn)
	case option == "encoding":
		r.customEncoding(value, add, warn)
	case option == "ignore_older":
		if _, err := parseDuration(value); err != nil {
			warn("is ignored: " + err.Error())
		} else {
			add("ignore_older", value)
		}
	case option == "tail_files":
		if value == "true" {
			add("read_from", "end")
		}
	case option == "tags":
		dr.fields = append(dr.fields, Pair{"tags", value})
	case option == "pipeline":
		add("pipeline", value)
	case option == "max_bytes":
		warn("is ignored: REMORA_MAX_RECORD_BYTES bounds the records of all logs; a longer line becomes several records")
	default:
		r.customFlag(option, value, log, add, warn)
	}
}

// customFlag translates options that Remora does not need, or whose effect it always has.
func (r *reader) customFlag(option, value string, log *filebeatLog, add func(path, value string), warn func(string)) {
	for _, ours := range filebeatAsOurs {
		if option != ours {
			continue
		}
		if value == "false" {
			warn("is ignored: Remora always works as with true")
		}
		if strings.HasPrefix(option, "json.") {
			add("format", "json")
		}
		return
	}
	if strings.HasPrefix(option, "json.") {
		add("format", "json")
		if option != "json.message_key" {
			warn("is ignored; the log is read as JSON")
		}
		return
	}
	for _, prefix := range filebeatNeedless {
		if strings.HasPrefix(option, prefix) {
			log.needless = append(log.needless, option)
			return
		}
	}
	warn("is ignored: it has no counterpart in a declaration")
}

// anyOf returns an expression that matches if one of those in list does.
func anyOf(list []string) string {
	parts := make([]string, len(list))
	for i, expr := range list {
		parts[i] = "(?:" + expr + ")"
	}
	return strings.Join(parts, "|")
}

// excludeFiles translates expressions for paths to patterns if possible: \.gz$ is *.gz.
func (r *reader) excludeFiles(expressions []string, add func(path, value string), warn func(string)) {
	var patterns []string
	for _, expr := range expressions {
		literal, ok := strings.CutPrefix(strings.TrimSuffix(expr, "$"), `\.`)
		if !ok || literal == "" || strings.ContainsAny(literal, `\.+*?()|[]{}^$/,`) || !strings.HasSuffix(expr, "$") {
			warn("is an expression, " + quote(expr) + "; write the key exclude, which takes patterns such as *.gz")
			continue
		}
		patterns = append(patterns, "*."+literal)
	}
	if len(patterns) > 0 {
		add("exclude", strings.Join(patterns, ","))
	}
}

// customEncoding translates Filebeat's names of encodings, including plain.
func (r *reader) customEncoding(value string, add func(path, value string), warn func(string)) {
	name := strings.TrimSuffix(strings.ToLower(value), "-bom")
	switch {
	case name == "plain" || name == "nop":
	case encodings[name] != "":
		add("encoding", encodings[name])
	default:
		warn("is ignored: the encoding " + quote(value) + " is not known")
	}
}

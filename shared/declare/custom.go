// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// custom reads PREFIX_logs_custom_config: lines of NAME.fields.KEY=VALUE, which are tags, and of NAME.multiline.OPTION=…,
// in our words or in Filebeat's. Names are compared whole: a's lines say nothing about ab. All errors name the variable.
func (r *reader) custom() {
	for i, config := range r.configs {
		if slices.ContainsFunc(r.configs[i+1:], func(later entry) bool { return later.prefix == config.prefix }) {
			continue // the environment overrides a label
		}
		translate := make(map[string]*filebeat)
		number := 0
		for line := range strings.Lines(config.value) {
			number++
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' {
				continue
			}
			e := config
			e.place += fmt.Sprintf("line %d: ", number)
			r.customLine(e, line, translate)
		}
		for _, name := range slices.Sorted(maps.Keys(translate)) {
			path, expr, err := translate[name].translate()
			if err != nil {
				r.drafts[name].refuse(config, name+"."+err.Error())
				continue
			}
			e := config
			e.path, e.value, e.place = path, expr, config.place+name+".multiline.pattern: "
			r.customKey(name, e)
		}
	}
}

func (r *reader) customLine(e entry, line string, translate map[string]*filebeat) {
	key, value, ok := strings.Cut(line, "=")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	name, path, dotted := strings.Cut(key, ".")
	if !ok || !dotted || !isName(name) {
		r.error(e.key, e.place+quote(line)+" is not of the form NAME.fields.KEY=VALUE or NAME.multiline.OPTION=VALUE")
		return
	}
	dr := r.drafts[name]
	if dr == nil || !dr.has("") {
		r.error(e.key, e.place+"the log "+name+", which "+quote(key)+" describes, is not declared")
		return
	}
	group, option, _ := strings.Cut(path, ".")
	switch {
	case group == "fields" && option != "" && value != "":
		dr.fields = append(dr.fields, Pair{option, value})
	case group == "fields":
		dr.refuse(e, quote(line)+" needs a key behind fields. and a value")
	case path == "multiline.pattern", path == "multiline.negate", path == "multiline.match":
		f := translate[name]
		if f == nil {
			f = &filebeat{}
			translate[name] = f
		}
		f.set(option, value)
	case group == "multiline" && isKnown(path):
		e.path, e.value, e.place = path, value, e.place+key+": "
		r.customKey(name, e)
	default:
		r.warning(e.key, e.place+quote(key)+" is ignored: of custom options only fields and multiline are taken over")
	}
}

// customKey adds e where nothing else says the same: a key of its own is more explicit than a line of custom_config.
func (r *reader) customKey(name string, e entry) {
	if dr := r.drafts[name]; !dr.has(e.path) {
		dr.add(e)
	}
}

func (f *filebeat) set(option, value string) {
	switch option {
	case "pattern":
		f.pattern = value
	case "negate":
		f.negate = value
	case "match":
		f.match = value
	}
}

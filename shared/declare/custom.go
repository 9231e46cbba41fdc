// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxCustomLines bounds the lines of custom_config that are read, and the options in configs.
const maxCustomLines = 2000

// custom reads Filebeat's options: PREFIX_logs_custom_config, lines of NAME.OPTION=VALUE, and the key configs of a fork of
// log-pilot, OPTION=VALUE,OPTION=VALUE. log-pilot pastes them into Filebeat's YAML, so values are parsed as YAML. Names must
// match as a whole: a line for a does not apply to ab. All errors name the key.
func (r *reader) custom() {
	for i, config := range r.configs {
		if slices.ContainsFunc(r.configs[i+1:], func(later entry) bool { return later.prefix == config.prefix }) {
			continue // the environment overrides a label
		}
		read := map[string]*filebeatLog{}
		number := 0
		for line := range strings.Lines(config.value) {
			if number++; number > maxCustomLines {
				r.error(config.key, fmt.Sprintf("has more than %d lines; the others are ignored", maxCustomLines))
				break
			}
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' {
				continue
			}
			e := config
			e.place += fmt.Sprintf("line %d: ", number)
			r.customLine(e, line, read)
		}
		r.finishCustom(config, read)
	}
	for _, name := range slices.Sorted(maps.Keys(r.drafts)) {
		r.customConfigs(name, r.drafts[name])
	}
}

// customConfigs reads the key configs of one log.
func (r *reader) customConfigs(name string, dr *draft) {
	e, ok := dr.get("configs")
	if !ok || !dr.has("") {
		return
	}
	dr.entries = slices.DeleteFunc(dr.entries, func(e entry) bool { return e.path == "configs" })
	read := map[string]*filebeatLog{}
	options := splitOutsideBrackets(e.value)
	if len(options) > maxCustomLines {
		dr.refuse(e, fmt.Sprintf("has %d options; at most %d are allowed", len(options), maxCustomLines))
		return
	}
	for _, element := range options {
		option, value, ok := strings.Cut(element, "=")
		if !ok {
			dr.warn(e, quote(element)+" is not of the form OPTION=VALUE; it is ignored")
			continue
		}
		values, rest := yamlValues(value)
		if rest {
			dr.warn(e, "something follows the value of "+quote(option)+"; it is ignored")
			continue
		}
		r.customOption(name, strings.TrimSpace(option), values, e, read)
	}
	r.finishCustom(e, read)
}

// splitOutsideBrackets splits s at commas outside of [] and quotes.
func splitOutsideBrackets(s string) (parts []string) {
	depth, start, quoted := 0, 0, byte(0)
	for i := 0; i <= len(s); i++ {
		switch {
		case i == len(s) || s[i] == ',' && depth == 0 && quoted == 0:
			if part := strings.TrimSpace(s[start:i]); part != "" {
				parts = append(parts, part)
			}
			start = i + 1
		case quoted != 0:
			if s[i] == quoted {
				quoted = 0
			}
		case s[i] == '\'' || s[i] == '"':
			quoted = s[i]
		case s[i] == '[':
			depth++
		case s[i] == ']':
			depth = max(0, depth-1)
		}
	}
	return parts
}

// filebeatLog collects the options of one log that must be translated together.
type filebeatLog struct {
	multiline *filebeat
	needless  []string // options that need no counterpart
}

func (r *reader) customLine(e entry, line string, read map[string]*filebeatLog) {
	key, value, ok := strings.Cut(line, "=")
	key = strings.TrimSpace(key)
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
	values, rest := yamlValues(value)
	if rest {
		r.error(e.key, e.place+"something follows the value of "+quote(key)+"; write one option a line")
		return
	}
	r.customOption(name, path, values, e, read)
}

// finishCustom translates the options that must be seen together.
func (r *reader) finishCustom(config entry, read map[string]*filebeatLog) {
	for _, name := range slices.Sorted(maps.Keys(read)) {
		log := read[name]
		if len(log.needless) > 0 {
			slices.Sort(log.needless)
			r.warning(config.key, config.place+name+": "+strings.Join(slices.Compact(log.needless), ", ")+": no counterpart is needed")
		}
		if log.multiline == nil {
			continue
		}
		path, expr, err := log.multiline.translate()
		if err != nil {
			r.drafts[name].refuse(config, name+"."+err.Error())
			continue
		}
		e := config
		e.path, e.value, e.place = path, expr, config.place+name+".multiline.pattern: "
		r.customKey(name, e)
	}
}

// customKey adds e unless the log has that key already, which is more explicit than one of Filebeat's options.
func (r *reader) customKey(name string, e entry) {
	if dr := r.drafts[name]; !dr.has(e.path) {
		dr.add(e)
	}
}

// yamlValues parses a value as YAML parses what follows a key: it unquotes, and a flow sequence is a list. Invalid YAML, or a
// mapping, is returned unchanged. rest reports that something follows the value.
func yamlValues(value string) (values []string, rest bool) {
	value = strings.TrimSpace(value)
	var document, after yaml.Node
	decoder := yaml.NewDecoder(strings.NewReader(value))
	if err := decoder.Decode(&document); err != nil || len(document.Content) != 1 {
		return []string{value}, false
	}
	node := document.Content[0]
	if flow := value[0] == '[' || value[0] == '"' || value[0] == '\''; flow && !errors.Is(decoder.Decode(&after), io.EOF) {
		return nil, true
	}
	switch node.Kind {
	case yaml.ScalarNode:
		return []string{node.Value}, false
	case yaml.SequenceNode:
		var list []string
		for _, element := range node.Content {
			if element.Kind != yaml.ScalarNode {
				return []string{value}, false
			}
			list = append(list, element.Value)
		}
		return list, false
	}
	return []string{value}, false
}

func (f *filebeat) set(option, value string) {
	switch option {
	case "pattern":
		f.pattern = value
	case "negate":
		f.negate = value
	case "match":
		f.match = value
	case "flush_pattern":
		f.flush = value
	}
}

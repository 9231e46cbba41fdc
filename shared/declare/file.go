// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// File is a parsed YAML file of declarations: the vocabulary as a tree, in which path means the source.
//
//	logs:
//	  access:
//	    path: /logs/access*.log
//	    format: json
//	    format.time_key: ts         # or  format: {type: json, time_key: ts}
//	    tags: {team: web}
//	  console: stdout
type File struct {
	path   string
	logs   []fileLog
	rules  []*Rule   // below collect, for a node agent
	errors []Problem // of the file as a whole
}

// fileLog is one log in a file.
type fileLog struct {
	name    string
	above   string // the key above it: logs
	entries []entry
	errors  []Problem
}

// ReadFile parses data as YAML; messages use path as its name. It is strict: unknown and duplicate keys are errors with
// their line.
func ReadFile(path string, data []byte) *File {
	f := &File{path: path}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return f // nothing but comments
	case err != nil:
		f.error(path, nil, strings.TrimPrefix(err.Error(), "yaml: "))
		return f
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		f.error(path, nil, "holds more than one YAML document")
		return f
	}
	f.each(path, document.Content[0], func(key, value *yaml.Node) {
		switch key.Value {
		case "logs":
			f.each("logs", value, func(key, value *yaml.Node) { f.logs = append(f.logs, f.log("logs", key, value)) })
		case "collect":
			f.collect(value)
		case "outputs", "settings": // read by the registry of outputs, and by package config
		default:
			f.error(key.Value, key, "unknown key"+didYouMean(key.Value, []string{"logs", "collect", "outputs", "settings"}))
		}
	})
	return f
}

func (f *File) error(key string, at *yaml.Node, message string) {
	f.errors = append(f.errors, Problem{key, f.place(at) + message})
}

func (f *File) place(at *yaml.Node) string {
	if at == nil {
		return ""
	}
	return f.path + ", line " + strconv.Itoa(at.Line) + ": "
}

// each calls visit for each key of a mapping. An empty node has none.
func (f *File) each(name string, node *yaml.Node, visit func(key, value *yaml.Node)) {
	node = follow(node)
	if node.Kind == yaml.ScalarNode && node.Tag == "!!null" {
		return
	}
	if node.Kind != yaml.MappingNode {
		f.error(name, node, "must be a mapping of keys to values")
		return
	}
	seen := make(map[string]bool, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := follow(node.Content[i])
		if key.Kind != yaml.ScalarNode || seen[key.Value] {
			f.error(strings.TrimPrefix(name+"."+key.Value, f.path+"."), key, "is a duplicate, or not a plain key")
			continue
		}
		seen[key.Value] = true
		visit(key, follow(node.Content[i+1]))
	}
}

// follow returns the node that an alias refers to. YAML has no alias of an alias.
func follow(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode && node.Alias != nil {
		return node.Alias
	}
	return node
}

// log parses the log named key, below the key above.
func (f *File) log(above string, key, value *yaml.Node) fileLog {
	l := fileLog{name: key.Value, above: above}
	name := above + "." + key.Value
	if !isName(l.name) {
		f.error(name, key, quote(l.name)+" is not a valid name of a log: only letters, digits, _ and - are allowed")
		return l
	}
	if value.Kind == yaml.ScalarNode {
		l.add(f, "", name, value)
		return l
	}
	f.each(name, value, func(key, value *yaml.Node) { l.key(f, "", key, value) })
	return l
}

// key parses one key below a log, or below the path above.
func (l *fileLog) key(f *File, above string, key, value *yaml.Node) {
	path := key.Value
	switch {
	case above == "format" && path == "type":
		path = "format"
	case above != "":
		path = above + "." + path
	case path == "path", path == "source":
		path = ""
	}
	full := strings.TrimSuffix(l.above+"."+l.name+"."+path, ".")
	switch {
	case path != "" && !isKnown(path) && !(path == "multiline" && value.Kind == yaml.MappingNode):
		l.error(full, f.place(key)+unknownKey(path))
	case value.Kind == yaml.ScalarNode:
		l.add(f, path, full, value)
	case value.Kind == yaml.SequenceNode:
		l.sequence(f, path, full, value)
	case above == "" && (path == "format" || path == "multiline" || slices.Contains(open, path)):
		f.each(full, value, func(key, value *yaml.Node) { l.key(f, path, key, value) })
	default:
		l.error(full, f.place(value)+"must be a plain value")
	}
}

// sequence parses a list: of names as one value, of expressions as numbered ones.
func (l *fileLog) sequence(f *File, path, full string, list *yaml.Node) {
	var values []string
	for i, element := range list.Content {
		element = follow(element)
		switch {
		case element.Kind != yaml.ScalarNode:
			l.error(full, f.place(element)+"must be a list of plain values")
			return
		case slices.Contains(numbered, path):
			l.add(f, path+"."+strconv.Itoa(i+1), full, element)
		default:
			values = append(values, element.Value)
		}
	}
	switch path {
	case "output", "remove", "exclude", "format.keys", "tags", "add", "rename":
		l.entries = append(l.entries, entry{path: path, value: strings.Join(values, ","), key: full, place: f.place(list)})
	default:
		if !slices.Contains(numbered, path) {
			l.error(full, f.place(list)+"must be a plain value, not a list")
		}
	}
}

func (l *fileLog) add(f *File, path, full string, value *yaml.Node) {
	text := value.Value
	if value.Tag == "!!null" {
		text = ""
	}
	l.entries = append(l.entries, entry{path: path, value: text, key: full, place: f.place(value)})
}

func (l *fileLog) error(key, message string) { l.errors = append(l.errors, Problem{key, message}) }

// file adds the logs of a file.
func (r *reader) file(f *File) {
	if f == nil {
		return
	}
	r.set.Errors = append(r.set.Errors, f.errors...)
	r.logs(f.logs)
}

func (r *reader) logs(logs []fileLog) {
	for _, l := range logs {
		if !isName(l.name) {
			continue
		}
		dr := r.draft(l.name)
		dr.entries = append(dr.entries, l.entries...)
		dr.errors = append(dr.errors, l.errors...)
	}
}

// ReadDownward parses a file that the Kubernetes downward API writes for annotations or labels: lines of key="value", with
// the value quoted as by strconv.Quote (pkg/fieldpath, FormatMap). The error names the line.
func ReadDownward(data []byte) (map[string]string, error) {
	m := make(map[string]string)
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		key, quoted, ok := strings.Cut(line, "=")
		value, err := strconv.Unquote(quoted)
		if !ok || err != nil || key == "" || quoted[0] != '"' {
			return nil, fmt.Errorf("line %d is not of the form key=\"value\"", number)
		}
		m[key] = value
	}
	return m, nil
}

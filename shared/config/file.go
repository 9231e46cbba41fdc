// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/remora-logs/remora/shared/near"
	"github.com/remora-logs/remora/shared/output/settings"
)

// FileVariable names the YAML file with settings, outputs and declarations.
const FileVariable = "REMORA_CONFIG"

// maxFile bounds the file in bytes.
const maxFile = 1 << 20

// File is the section settings of a YAML file: the variables of the environment, by the same names.
//
//	settings:
//	  LOGGING_OUTPUT: [kafka, loki]
//	  REMORA_WORKERS: 4
type File struct {
	path    string
	entries []entry // in the order of the file
	wrong   []error
}

type entry struct {
	name, value string
	line        int
}

// ReadFile reads the settings of the file at path; an empty path is no file. What is wrong is told by Check.
func ReadFile(path string) *File {
	f := &File{path: path}
	if path == "" {
		return f
	}
	file, err := os.Open(path)
	if err != nil {
		return f // who needs what else it holds tells
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile))
	if err != nil {
		return f
	}
	f.parse(data)
	return f
}

// parse reads the section settings. What is wrong with the file as a whole is told by those who read its other sections.
func (f *File) parse(data []byte) {
	var document yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader(data)).Decode(&document); err != nil || len(document.Content) == 0 {
		return
	}
	root := resolve(document.Content[0])
	if root.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if key := resolve(root.Content[i]); key.Value == "settings" {
			f.section(resolve(root.Content[i+1]))
		}
	}
}

func (f *File) section(node *yaml.Node) {
	if node.Kind == yaml.ScalarNode && node.Tag == "!!null" {
		return
	}
	if node.Kind != yaml.MappingNode {
		f.fail(node.Line, "settings must be a mapping of names to values")
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := resolve(node.Content[i])
		value, ok := plain(resolve(node.Content[i+1]))
		switch {
		case slices.ContainsFunc(f.entries, func(e entry) bool { return e.name == key.Value }):
			f.fail(key.Line, "settings.%.64s is there twice", key.Value)
		case key.Value == FileVariable:
			f.fail(key.Line, "settings.%s can only be a variable of the environment: it names this file", FileVariable)
		case !ok:
			f.fail(key.Line, "settings.%.64s must be a plain value, or a list of plain values without commas", key.Value)
		default:
			f.entries = append(f.entries, entry{key.Value, value, key.Line})
		}
	}
}

func (f *File) fail(line int, format string, args ...any) {
	f.wrong = append(f.wrong, fmt.Errorf("%s, line %d: %s", f.path, line, fmt.Sprintf(format, args...)))
}

// plain returns a value as a variable would hold it: the elements of a list are separated by commas.
func plain(node *yaml.Node) (text string, ok bool) {
	switch {
	case node.Kind == yaml.ScalarNode && node.Tag == "!!null":
		return "", true
	case node.Kind == yaml.ScalarNode:
		return node.Value, true
	case node.Kind != yaml.SequenceNode:
		return "", false
	}
	parts := make([]string, len(node.Content))
	for i, element := range node.Content {
		if element = resolve(element); element.Kind != yaml.ScalarNode || strings.Contains(element.Value, ",") {
			return "", false
		}
		parts[i] = element.Value
	}
	return strings.Join(parts, ","), true
}

// resolve returns the node that an alias refers to. YAML has no alias of an alias.
func resolve(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode && node.Alias != nil {
		return node.Alias
	}
	return node
}

// Check returns all that is wrong in the section, each with its line: a name that is none of sections' too.
func (f *File) Check(sections []settings.Section) error {
	known := map[string]bool{}
	for _, section := range sections {
		for _, s := range section.Settings {
			known[s.Name] = true
			if s.Secret {
				known[s.Name+"_FILE"] = true
			}
		}
	}
	wrong := slices.Clone(f.wrong)
	for _, e := range f.entries {
		if known[e.name] {
			continue
		}
		meant := ""
		if name := near.Nearest(e.name, slices.Sorted(maps.Keys(known))); name != "" {
			meant = "; did you mean " + name + "?"
		}
		wrong = append(wrong, fmt.Errorf("%s, line %d: settings.%.64s: there is no such setting%s", f.path, e.line, e.name, meant))
	}
	return errors.Join(wrong...)
}

// Merge adds to the variables of the environment those of the file that are not set there.
func (f *File) Merge(environ map[string]string) {
	set := maps.Clone(environ)
	for _, e := range f.entries {
		bare := strings.TrimSuffix(e.name, "_FILE")
		if set[bare] == "" && set[bare+"_FILE"] == "" {
			environ[e.name] = e.value
		}
	}
}

// Explain adds to an error about settings where the file sets those that it names.
func (f *File) Explain(err error, environ map[string]string) error {
	if err == nil {
		return nil
	}
	places := []error{err}
	for _, e := range f.entries {
		if environ[e.name] == e.value && strings.Contains(err.Error(), e.name) {
			places = append(places, fmt.Errorf("%s is set in %s, line %d", e.name, f.path, e.line))
		}
	}
	return errors.Join(places...)
}

// Changed lists the settings that have another value in now, sorted, except for those that the environment sets.
func (f *File) Changed(now *File, environ map[string]string) (names []string) {
	was, is := f.values(), now.values()
	for name := range maps.Keys(was) {
		if is[name] != was[name] {
			names = append(names, name)
		}
	}
	for name, value := range is {
		if _, ok := was[name]; !ok && value != "" {
			names = append(names, name)
		}
	}
	names = slices.DeleteFunc(names, func(name string) bool { return environ[name] != "" })
	slices.Sort(names)
	return names
}

// Value returns the value of a setting in the file; "" where it has none.
func (f *File) Value(name string) string { return f.values()[name] }

func (f *File) values() map[string]string {
	all := make(map[string]string, len(f.entries))
	for _, e := range f.entries {
		all[e.name] = e.value
	}
	return all
}

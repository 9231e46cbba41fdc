// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/remora-logs/remora/shared/near"
	"github.com/remora-logs/remora/shared/output/settings"
)

const (
	// maxFile bounds the size of the file, in bytes.
	maxFile = 1 << 20
	// maxNamed bounds the outputs that a file may name, because each has its own workers and connections.
	maxNamed = 32
)

// nameForm matches the names of outputs: a name becomes a label of metrics and part of checkpoints' keys.
var nameForm = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// Named is an output of the section outputs of the file REMORA_CONFIG:
//
//	outputs:
//	  hot:
//	    kind: elasticsearch
//	    ELASTICSEARCH_HOSTS: [https://es-1:9200, https://es-2:9200]
//	    ELASTICSEARCH_API_KEY_FILE: /run/secrets/hot
type Named struct {
	Name, Kind string
	settings   map[string]string // by variable
	place      string            // file and line, for messages
}

// ReadCatalog returns the kinds, set by environ, and the outputs that the file at path names; an empty path means no file.
// Mistakes in the section outputs are an error, which lists all of them with their lines. A file that can't be read is not an
// error: it may be there later, and holds other sections.
func ReadCatalog(environ map[string]string, path string) (*Catalog, error) {
	c := &Catalog{environ: environ}
	if path == "" {
		return c, nil
	}
	document, err := readDocument(path)
	if err != nil {
		c.unread = fmt.Errorf("REMORA_CONFIG: %w", err)
		return c, nil
	}
	var f fileReader
	f.path = path
	f.each("the file", document, func(key, value *yaml.Node) {
		if key.Value != "outputs" {
			c.others = append(c.others, Section{key.Value, key.Line})
			return
		}
		f.each("outputs", value, func(key, value *yaml.Node) { c.named = append(c.named, f.output(key, value)) })
		if len(c.named) > maxNamed {
			f.fail(key, "outputs names %d outputs; at most %d are allowed", len(c.named), maxNamed)
		}
	})
	if err := errors.Join(f.wrong...); err != nil {
		return c, err
	}
	return c, nil
}

// readDocument returns the root of the YAML document at path; nil if there is none.
func readDocument(path string) (*yaml.Node, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	var document yaml.Node
	err = yaml.NewDecoder(bytes.NewReader(data)).Decode(&document)
	if errors.Is(err, io.EOF) || err == nil && len(document.Content) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	return document.Content[0], nil
}

// fileReader collects the mistakes in a file.
type fileReader struct {
	path  string
	wrong []error
}

func (f *fileReader) fail(at *yaml.Node, format string, args ...any) {
	f.wrong = append(f.wrong, fmt.Errorf("%s: %s", f.place(at), fmt.Sprintf(format, args...)))
}

func (f *fileReader) place(at *yaml.Node) string { return fmt.Sprintf("%s, line %d", f.path, at.Line) }

// each calls visit for each key of a mapping. An empty node has none.
func (f *fileReader) each(name string, node *yaml.Node, visit func(key, value *yaml.Node)) {
	if node == nil {
		return
	}
	node = follow(node)
	if node.Kind == yaml.ScalarNode && node.Tag == "!!null" {
		return
	}
	if node.Kind != yaml.MappingNode {
		f.fail(node, "%s must be a mapping of keys to values", name)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := follow(node.Content[i])
		if key.Kind != yaml.ScalarNode || seen[key.Value] {
			f.fail(key, "%s: the key %.64q is a duplicate, or not a plain key", name, key.Value)
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

// output decodes the output named by key.
func (f *fileReader) output(key, node *yaml.Node) Named {
	n := Named{Name: key.Value, settings: map[string]string{}, place: f.place(key)}
	full := fmt.Sprintf("outputs.%.64s", n.Name)
	switch {
	case !nameForm.MatchString(n.Name):
		f.fail(key, "%.64q can't name an output: a name is 1 to 32 of a-z, 0-9 and -", n.Name)
	case find(n.Name) != nil:
		f.fail(key, "%s is the name of a kind of outputs, which the process's variables set; choose another name", full)
	}
	var keys [][2]*yaml.Node
	hasKind := false
	f.each(full, node, func(key, value *yaml.Node) {
		if key.Value != "kind" {
			keys = append(keys, [2]*yaml.Node{key, value})
			return
		}
		hasKind = true
		if n.Kind = value.Value; value.Kind != yaml.ScalarNode || find(n.Kind) == nil {
			f.fail(value, "%s.kind: %.64q is no kind of outputs; there are %s", full, n.Kind, strings.Join(Names(), ", "))
		}
	})
	if !hasKind {
		f.fail(key, "%s has no kind; there are %s", full, strings.Join(Names(), ", "))
	}
	b := find(n.Kind)
	if b == nil {
		return n // its possible settings are not known
	}
	for _, kv := range keys {
		f.setting(full, b, kv[0], kv[1], n.settings)
	}
	return n
}

// setting decodes one setting of an output of kind b into values.
func (f *fileReader) setting(full string, b *Backend, key, node *yaml.Node, values map[string]string) {
	known := b.variables()
	if !known[key.Value] {
		meant := ""
		if name := near.Nearest(key.Value, slices.Sorted(maps.Keys(known))); name != "" {
			meant = "; did you mean " + name + "?"
		}
		f.fail(key, "%s.%.64s: unknown key; an output of kind %s has no such setting%s", full, key.Value, b.Name, meant)
		return
	}
	text, ok := plain(node)
	switch {
	case !ok:
		f.fail(node, "%s.%s must be a plain value, or a list of plain values without commas", full, key.Value)
	case settings.IsServiceLink(key.Value, text):
		f.fail(node, "%s.%s must be a number, not an address", full, key.Value)
	default:
		values[key.Value] = text
	}
}

// plain returns a value in the form of a variable: the elements of a list are separated by commas.
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
		element = follow(element)
		if element.Kind != yaml.ScalarNode || strings.Contains(element.Value, ",") {
			return "", false
		}
		parts[i] = element.Value
	}
	return strings.Join(parts, ","), true
}

// variables returns the names of all settings of this kind of output.
func (b *Backend) variables() map[string]bool {
	all := map[string]bool{}
	for _, s := range b.Settings {
		all[s.Name] = true
		if s.Secret {
			all[s.Name+"_FILE"] = true
		}
	}
	return all
}

// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	// MaxInput bounds the size of a manifest in bytes.
	MaxInput = 4 << 20
	// maxCopied bounds the total number of nodes that are copied in place of aliases: a kilobyte of aliases can expand to a
	// billion nodes.
	maxCopied = 100_000
	// maxDepth bounds how deeply a manifest is nested.
	maxDepth = 200
)

// read reads the documents of a manifest: YAML, or JSON as kubectl and docker inspect write it.
func read(r io.Reader) ([]*yaml.Node, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxInput+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > MaxInput:
		return nil, fmt.Errorf("it is larger than %d MiB", MaxInput>>20)
	}
	if text := bytes.TrimSpace(data); len(text) > 0 && (text[0] == '{' || text[0] == '[') && json.Valid(text) {
		root, err := fromJSON(text)
		if err != nil {
			return nil, err
		}
		return []*yaml.Node{{Kind: yaml.DocumentNode, Content: []*yaml.Node{root}}}, nil
	}
	var all []*yaml.Node
	for decoder := yaml.NewDecoder(bytes.NewReader(data)); ; {
		document := new(yaml.Node)
		switch err := decoder.Decode(document); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil && bytes.Contains(data, []byte("{{")):
			return nil, errors.New("it is no YAML but a template: render it first, with helm template for instance")
		case err != nil:
			return nil, placeOf(err)
		case tooDeep(document, maxDepth):
			return nil, fmt.Errorf("it is nested more than %d deep", maxDepth)
		}
		all = append(all, document)
	}
}

// placeOf returns an error that names the line of a syntax error but does not quote it: it may hold a secret.
func placeOf(err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if place, _, ok := strings.Cut(text, ":"); ok && strings.HasPrefix(place, "line ") {
		return errors.New(place + " is no YAML")
	}
	return errors.New("it is no YAML")
}

// tooDeep reports whether node is nested more than left deep. It does not follow aliases.
func tooDeep(node *yaml.Node, left int) bool {
	if left == 0 {
		return true
	}
	for _, child := range node.Content {
		if tooDeep(child, left-1) {
			return true
		}
	}
	return false
}

// fromJSON converts JSON to YAML nodes. It keeps the order of members.
func fromJSON(text []byte) (*yaml.Node, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return nextValue(decoder, maxDepth)
}

func nextValue(decoder *json.Decoder, left int) (*yaml.Node, error) {
	if left == 0 {
		return nil, fmt.Errorf("it is nested more than %d deep", maxDepth)
	}
	token, err := decoder.Token()
	if err != nil {
		return nil, errors.New("it is no JSON")
	}
	switch token := token.(type) {
	case json.Delim:
		node := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		if token == '[' {
			node = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		}
		for decoder.More() { // in an object, keys and values alternate
			child, err := nextValue(decoder, left-1)
			if err != nil {
				return nil, err
			}
			node.Content = append(node.Content, child)
		}
		_, err := decoder.Token()
		return node, err
	case string:
		return text(token), nil
	case json.Number:
		tag := "!!int"
		if strings.ContainsAny(token.String(), ".eE") {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: token.String()}, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: fmt.Sprint(token)}, nil
	default:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
	}
}

// text returns a string node. It is quoted if YAML would otherwise read it as another type.
func text(s string) *yaml.Node {
	node := new(yaml.Node)
	node.SetString(s)
	return node
}

// member returns the value of a mapping's key, or nil. It resolves aliases.
func member(node *yaml.Node, key string) *yaml.Node {
	node = follow(node)
	if node == nil || node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return follow(node.Content[i+1])
		}
	}
	return nil
}

// follow returns the node that an alias refers to, and any other node itself.
func follow(node *yaml.Node) *yaml.Node {
	if node != nil && node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

// value returns the text of a scalar, and "" for anything else.
func value(node *yaml.Node) string {
	if node == nil || node.Kind != yaml.ScalarNode {
		return ""
	}
	return node.Value
}

// set sets the value of a mapping's key. It appends a key that does not exist.
func set(node *yaml.Node, key string, to *yaml.Node) {
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			node.Content[i+1] = to
			return
		}
	}
	node.Content = append(node.Content, text(key), to)
}

// remove removes a key from a mapping and reports whether it was there.
func remove(node *yaml.Node, key string) bool {
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			node.Content = append(node.Content[:i], node.Content[i+2:]...)
			return true
		}
	}
	return false
}

// mapping returns a mapping of alternating keys and values.
func mapping(of ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: of}
}

// copier replaces aliases by copies, so that a change does not affect other uses of the same anchor. left is how many nodes it
// may still copy.
type copier struct{ left int }

var errTooManyAliases = errors.New("its aliases stand for too much")

// own replaces aliases and merged keys below node by copies. It does nothing if there are none.
func (c *copier) own(node *yaml.Node) error {
	if !borrows(node) {
		return nil
	}
	for i, child := range node.Content {
		made, err := c.copyOf(child, maxDepth)
		if err != nil {
			return err
		}
		node.Content[i] = made
	}
	merge(node)
	return nil
}

// borrows reports whether node is or contains an alias or a merge key.
func borrows(node *yaml.Node) bool {
	if node.Kind == yaml.AliasNode || node.Tag == "!!merge" {
		return true
	}
	return slices.ContainsFunc(node.Content, borrows)
}

// lends reports whether node has or contains an anchor.
func lends(node *yaml.Node) bool {
	return node.Anchor != "" || slices.ContainsFunc(node.Content, lends)
}

func (c *copier) copyOf(node *yaml.Node, left int) (*yaml.Node, error) {
	for ; node.Kind == yaml.AliasNode; left-- {
		if node = node.Alias; left == 0 {
			return nil, errTooManyAliases // an alias of itself
		}
	}
	if c.left--; c.left < 0 || left == 0 {
		return nil, errTooManyAliases
	}
	made := *node
	made.Anchor, made.Content = "", nil
	for _, child := range node.Content {
		child, err := c.copyOf(child, left-1)
		if err != nil {
			return nil, err
		}
		made.Content = append(made.Content, child)
	}
	merge(&made)
	return &made, nil
}

// merge replaces << in a mapping by the keys that it merges, unless the mapping has them.
func merge(node *yaml.Node) {
	if node.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, from := node.Content[i], node.Content[i+1]
		if key.Value != "<<" || key.Tag != "!!merge" {
			continue
		}
		node.Content = append(node.Content[:i:i], node.Content[i+2:]...)
		i -= 2
		sources := []*yaml.Node{from}
		if from.Kind == yaml.SequenceNode {
			sources = from.Content
		}
		for _, source := range sources {
			for k := 0; k+1 < len(source.Content) && source.Kind == yaml.MappingNode; k += 2 {
				if member(node, source.Content[k].Value) == nil {
					node.Content = append(node.Content, source.Content[k], source.Content[k+1])
				}
			}
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Subject is a container as rules see it. Unknown fields are empty.
type Subject struct {
	Runtime, Namespace, Pod, Container, Image string
	// Labels are the container's, PodLabels its Pod's: the word label matches either.
	Labels, PodLabels, Annotations map[string]string
	Env                            []string // NAME=value; the last of equal names counts
}

// matcher holds the conditions of a rule. All of conditions must hold, and none of except.
type matcher struct {
	conditions []condition
	except     []condition
}

// condition is one word of match.
type condition struct {
	word string
	name string      // of the label, annotation or variable; empty for the other words
	any  []valueTest // one of these must match; if there are none, any value does
}

func (m *matcher) match(s *Subject) bool {
	for i := range m.conditions {
		if !m.conditions[i].holds(s) {
			return false
		}
	}
	for i := range m.except {
		if m.except[i].holds(s) {
			return false
		}
	}
	return true
}

// Labels returns the names of the labels and annotations in the rule's conditions.
func (r *Rule) Labels() (names []string) {
	for _, c := range slices.Concat(r.matches.conditions, r.matches.except) {
		if c.word == "label" || c.word == "annotation" {
			names = append(names, c.name)
		}
	}
	return names
}

// Variables returns the names of the variables in the rule's conditions.
func (r *Rule) Variables() (names []string) {
	for _, c := range slices.Concat(r.matches.conditions, r.matches.except) {
		if c.word == "env" {
			names = append(names, c.name)
		}
	}
	return names
}

func (c *condition) holds(s *Subject) bool {
	switch c.word {
	case "namespace":
		return c.matches(s.Namespace)
	case "pod":
		return c.matches(s.Pod)
	case "container":
		return c.matches(s.Container)
	case "image":
		return c.matches(s.Image)
	case "runtime":
		return c.matches(s.Runtime)
	case "label":
		return c.in(s.Labels) || c.in(s.PodLabels)
	case "annotation":
		return c.in(s.Annotations)
	}
	for i := len(s.Env) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(s.Env[i], c.name); ok && strings.HasPrefix(value, "=") {
			return c.matches(value[1:])
		}
	}
	return false
}

func (c *condition) in(values map[string]string) bool {
	value, ok := values[c.name]
	return ok && c.matches(value)
}

func (c *condition) matches(value string) bool {
	for i := range c.any {
		if c.any[i].match(value) {
			return true
		}
	}
	return len(c.any) == 0
}

// words are the keys of match. The value is true if the key holds a mapping of names to patterns.
var words = map[string]bool{"namespace": false, "pod": false, "container": false, "image": false, "runtime": false,
	"label": true, "annotation": true, "env": true}

// matcher parses a mapping of conditions.
func (f *File) matcher(key string, node *yaml.Node, top bool) (m matcher) {
	f.each(key, node, func(k, value *yaml.Node) {
		below, known := words[k.Value]
		full := key + "." + k.Value
		switch {
		case k.Value == "not" && top:
			m.except = f.matcher(full, value, false).conditions
		case !known:
			f.error(full, k, "unknown key"+didYouMean(k.Value, []string{"namespace", "pod", "container", "image", "runtime", "label", "annotation", "env", "not"}))
		case !below:
			if any := f.patterns(full, value); len(any) > 0 {
				m.conditions = append(m.conditions, condition{word: k.Value, any: any})
			} else {
				f.error(full, value, "is empty; write * for any")
			}
		default:
			f.each(full, value, func(name, value *yaml.Node) {
				m.conditions = append(m.conditions, condition{word: k.Value, name: name.Value, any: f.patterns(full+"."+name.Value, value)})
			})
		}
	})
	return m
}

// patterns parses one pattern or a list of them. It skips empty ones.
func (f *File) patterns(key string, node *yaml.Node) (any []valueTest) {
	nodes := []*yaml.Node{node}
	if node.Kind == yaml.SequenceNode {
		nodes = node.Content
	}
	for _, n := range nodes {
		n = follow(n)
		if n.Kind != yaml.ScalarNode {
			f.error(key, n, "must be a plain value, or a list of them")
			return nil
		}
		if n.Value == "" || n.Tag == "!!null" {
			continue
		}
		p, err := newValueTest(n.Value)
		if err != nil {
			f.error(key, n, err.Error())
			continue
		}
		any = append(any, p)
	}
	return any
}

// valueTest is a glob that must match a whole value, in which * matches any bytes and ? any character, or a regular expression
// between slashes that may match any part of it.
type valueTest struct {
	plain string
	re    *regexp.Regexp // nil if plain must equal the value
}

func newValueTest(text string) (valueTest, error) {
	if len(text) > 1 && text[0] == '/' && text[len(text)-1] == '/' {
		re, err := regexp.Compile(text[1 : len(text)-1])
		if err != nil {
			return valueTest{}, fmt.Errorf("%s is no regular expression: %s", quote(text), strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		}
		return valueTest{re: re}, nil
	}
	if !strings.ContainsAny(text, "*?") {
		return valueTest{plain: text}, nil
	}
	var expr strings.Builder
	for _, r := range text {
		switch r {
		case '*':
			expr.WriteString(".*")
		case '?':
			expr.WriteByte('.')
		default:
			expr.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	re, err := regexp.Compile(`(?s)\A` + expr.String() + `\z`)
	if err != nil {
		return valueTest{}, fmt.Errorf("%s is no glob: %w", quote(text), err)
	}
	return valueTest{re: re}, nil
}

func (p *valueTest) match(value string) bool {
	if p.re == nil {
		return value == p.plain
	}
	return p.re.MatchString(value)
}

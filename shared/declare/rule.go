// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// Rule collects logs of the containers that it selects, for users who don't own the containers' manifests:
//
//	collect:
//	- name: shop
//	  match: {namespace: shop-*, label: {tier: web}, not: {container: [istio-proxy]}}
//	  logs: {console: stdout, app: {path: /var/log/app/*.log, format: json}}
//	- name: audit
//	  host: true
//	  logs: {audit: /var/log/kubernetes/audit.log}
type Rule struct {
	// Name is [0-9a-zA-Z_-]+, unique in its file.
	Name string
	// Host means that the logs are files of the machine; such a rule selects no container.
	Host bool

	matches matcher
	logs    []fileLog
	errors  []Problem
	place   string // of its name in the file, as the beginning of messages
}

// Match reports whether the rule selects the container.
func (r *Rule) Match(s *Subject) bool { return !r.Host && r.matches.match(s) }

// Logs returns the names of the rule's logs.
func (r *Rule) Logs() (names []string) {
	for _, l := range r.logs {
		names = append(names, l.name)
	}
	return names
}

// Rules returns the valid rules of f, and its problems. A rule with an error is refused as a whole; the others are not.
func (d *Dialect) Rules(f *File) (rules []*Rule, problems []Problem) {
	if f == nil {
		return nil, nil
	}
	problems = append(problems, f.errors...)
	for _, l := range f.logs {
		problems = append(problems, Problem{"logs." + l.name, "has no effect in a node agent's file: write a rule below collect"})
	}
	for _, r := range f.rules {
		set := d.Read(Input{Rules: []*Rule{r}})
		r.errors = append(r.errors, set.Errors...)
		if problems = append(problems, r.errors...); len(r.errors) == 0 {
			rules = append(rules, r)
			problems = append(problems, set.Warnings...)
		}
	}
	return rules, inOrder(problems)
}

// rules adds what rules declare. If two declare a log of the same name, the first wins.
func (r *reader) rules(rules []*Rule) {
	owner := map[string]string{}
	for _, rule := range rules {
		for _, l := range rule.logs {
			if first, taken := owner[l.name]; taken {
				r.warning("collect."+rule.Name+".logs."+l.name, rule.place+"is ignored: the rule "+first+" declares a log named "+l.name+" too")
				continue
			}
			owner[l.name] = rule.Name
			r.logs([]fileLog{l})
		}
	}
}

// collect parses the list of rules.
func (f *File) collect(list *yaml.Node) {
	if list.Kind == yaml.ScalarNode && list.Tag == "!!null" {
		return
	}
	if list.Kind != yaml.SequenceNode {
		f.error("collect", list, "must be a list of rules")
		return
	}
	seen := map[string]bool{}
	for _, node := range list.Content {
		r := f.rule(follow(node))
		if r == nil {
			continue
		}
		if seen[r.Name] {
			r.errors = append(r.errors, Problem{"collect." + r.Name, r.place + "there is a rule of this name already"})
		}
		seen[r.Name] = true
		f.rules = append(f.rules, r)
	}
}

// rule parses one rule; nil if it has no name by which messages could refer to it.
func (f *File) rule(node *yaml.Node) *Rule {
	r := &Rule{place: f.place(node)}
	if name := field(node, "name"); name != nil {
		r.Name = name.Value
	}
	if !isName(r.Name) {
		f.error("collect", node, "a rule needs a name: letters, digits, _ and -")
		return nil
	}
	key := "collect." + r.Name
	before := len(f.errors)
	f.each(key, node, func(k, value *yaml.Node) {
		switch k.Value {
		case "name":
		case "host":
			if r.Host = value.Value == "true"; !r.Host && value.Value != "false" {
				f.error(key+".host", value, "is neither true nor false")
			}
		case "match":
			r.matches = f.matcher(key+".match", value, true)
		case "logs":
			f.each(key+".logs", value, func(k, v *yaml.Node) { r.logs = append(r.logs, f.log(key+".logs", k, v)) })
		default:
			f.error(key+"."+k.Value, k, "unknown key"+didYouMean(k.Value, []string{"name", "host", "match", "logs"}))
		}
	})
	f.checkRule(r, key, node)
	// Errors within a rule are the rule's: the rest of the file is still used.
	r.errors = append(r.errors, f.errors[before:]...)
	f.errors = f.errors[:before]
	return r
}

// checkRule checks a rule's keys against each other.
func (f *File) checkRule(r *Rule, key string, node *yaml.Node) {
	switch chooses := field(node, "match") != nil; {
	case len(r.logs) == 0:
		f.error(key+".logs", node, "names no log")
	case r.Host && chooses:
		f.error(key+".host", node, "a rule for files of the machine chooses no containers: remove match")
	case !r.Host && !chooses:
		f.error(key+".match", node, "is missing; write match: {} to choose every container")
	}
	for _, l := range r.logs {
		for _, e := range l.entries {
			if r.Host && e.path == "" && strings.TrimSpace(e.value) == Stdout {
				r.errors = append(r.errors, Problem{e.key, e.place + "the machine has no stdout: name a path"})
			}
		}
	}
}

// field returns the value of a mapping's key, or nil.
func field(node *yaml.Node, key string) *yaml.Node {
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if follow(node.Content[i]).Value == key {
			return follow(node.Content[i+1])
		}
	}
	return nil
}

// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"cmp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/remora-logs/remora/shared/pilot"
)

// environment holds a container's variables, independent of the form in which they are written.
type environment struct {
	all []*variable
	// add appends a variable to the manifest; prune removes those that are gone.
	add   func(name, value string)
	prune func()
}

type variable struct {
	name, value string
	// opaque says that the value is not in the manifest; gone says that the variable is to be removed.
	opaque, gone bool
	write        func(name, value string)
}

func (e *environment) find(name string) *variable {
	for _, v := range e.all {
		if v.name == name {
			return v
		}
	}
	return nil
}

// get returns a variable's value, or "" if it is not known.
func (e *environment) get(name string) string {
	if v := e.find(name); v != nil {
		return v.value
	}
	return ""
}

// fromPod reads the variables of a container in a Pod: a list of mappings.
func fromPod(container *yaml.Node) *environment {
	list := member(container, "env")
	if list == nil || list.Kind != yaml.SequenceNode {
		list = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	}
	e := new(environment)
	of := map[*yaml.Node]*variable{}
	for _, node := range list.Content {
		v := &variable{name: value(member(node, "name")), value: value(member(node, "value")), opaque: member(node, "valueFrom") != nil}
		v.write = func(name, to string) {
			member(node, "name").SetString(name)
			if !v.opaque && to != v.value {
				set(node, "value", text(to))
			}
		}
		of[node] = v
		if v.name != "" {
			e.all = append(e.all, v)
		}
	}
	e.add = func(name, to string) {
		list.Content = append(list.Content, mapping(text("name"), text(name), text("value"), text(to)))
		set(container, "env", list)
	}
	e.prune = func() {
		list.Content = slices.DeleteFunc(list.Content, func(n *yaml.Node) bool { return of[n] != nil && of[n].gone })
		if len(list.Content) == 0 {
			remove(container, "env")
		}
	}
	return e
}

// fromService reads the variables of a Compose service: a mapping, or a list of NAME=VALUE.
func fromService(service *yaml.Node) *environment {
	node := member(service, "environment")
	switch {
	case node != nil && node.Kind == yaml.SequenceNode:
		return fromList(node)
	case node == nil || node.Kind != yaml.MappingNode:
		node = mapping()
	}
	e := new(environment)
	of := map[*yaml.Node]*variable{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, val := node.Content[i], node.Content[i+1]
		v := &variable{name: key.Value, value: strings.ReplaceAll(value(val), "$$", "$"), opaque: isExpanded(value(val)) || val.Tag == "!!null"}
		v.write = func(name, to string) {
			key.Value = name
			if !v.opaque && to != v.value {
				val.SetString(strings.ReplaceAll(to, "$", "$$"))
			}
		}
		of[key] = v
		e.all = append(e.all, v)
	}
	e.add = func(name, to string) {
		set(node, name, text(to))
		set(service, "environment", node)
	}
	e.prune = func() {
		var left []*yaml.Node
		for i := 0; i+1 < len(node.Content); i += 2 {
			if v := of[node.Content[i]]; v == nil || !v.gone {
				left = append(left, node.Content[i], node.Content[i+1])
			}
		}
		node.Content = left
	}
	return e
}

func fromList(list *yaml.Node) *environment {
	e := new(environment)
	of := map[*yaml.Node]*variable{}
	for _, node := range list.Content {
		name, to, known := strings.Cut(value(node), "=")
		v := &variable{name: name, value: strings.ReplaceAll(to, "$$", "$"), opaque: !known || isExpanded(to)}
		v.write = func(name, to string) {
			switch {
			case !known:
				node.SetString(name + "=${" + v.name + "}")
			case v.opaque || to == v.value:
				node.SetString(name + strings.TrimPrefix(node.Value, v.name))
			default:
				node.SetString(name + "=" + strings.ReplaceAll(to, "$", "$$"))
			}
		}
		of[node] = v
		e.all = append(e.all, v)
	}
	e.add = func(name, to string) { list.Content = append(list.Content, text(name+"="+to)) }
	e.prune = func() {
		list.Content = slices.DeleteFunc(list.Content, func(n *yaml.Node) bool { return of[n] != nil && of[n].gone })
	}
	return e
}

// isExpanded reports whether Compose expands variables in a value.
func isExpanded(value string) bool { return strings.Contains(strings.ReplaceAll(value, "$$", ""), "$") }

// modeOf returns what log-pilot ran, filebeat or fluentd, or "" if neither variables nor the image tell.
func modeOf(e *environment, image string) string {
	for _, mode := range []string{"filebeat", "fluentd"} {
		if cmp.Or(e.get("REMORA_COMPAT"), e.get("PILOT_TYPE")) == mode {
			return mode
		}
	}
	for _, mode := range []string{"filebeat", "fluentd"} {
		if strings.Contains(image[strings.LastIndex(image, "/")+1:], mode) {
			return mode
		}
	}
	switch filebeat, fluentd := e.find("FILEBEAT_OUTPUT") != nil, e.find("FLUENTD_OUTPUT") != nil; {
	case filebeat == fluentd:
		return ""
	case filebeat:
		return "filebeat"
	default:
		return "fluentd"
	}
}

// settings converts log-pilot's variables to the agent's. of is their container or service.
func (m *migration) settings(of *yaml.Node, e *environment, mode string) {
	for _, key := range []string{"envFrom", "env_file"} {
		if member(of, key) != nil {
			m.missing = append(m.missing, key+" names variables that can't be seen here: the agent understands log-pilot's names, and its log says which have no effect")
		}
	}
	if e.find("FILEBEAT_OUTPUT") != nil && mode != "fluentd" || e.find("FLUENTD_OUTPUT") != nil && mode == "fluentd" {
		if v := e.find("LOGGING_OUTPUT"); v != nil { // it is overridden
			v.gone = true
		}
	}
	named := ""
	for _, v := range e.all {
		if v.gone || v.name == "" { // an element without a name stays as it is
			continue
		}
		verdict := pilot.Judge(v.name, v.value, mode)
		if v.opaque {
			verdict.Value = v.value
			if v.name == "PILOT_TYPE" {
				verdict.Name = "REMORA_COMPAT"
			}
			if verdict.Name == "ELASTICSEARCH_INDEX" || verdict.Name == "LOGGING_OUTPUT" || verdict.Name == "KAFKA_VERSION" {
				verdict.Note = "takes its value from elsewhere, where it can't be checked"
			}
		}
		if verdict.Note != "" {
			m.missing = append(m.missing, v.name+" "+verdict.Note)
		}
		switch {
		case verdict.Name == "":
			if verdict.Note == "" {
				m.missing = append(m.missing, v.name+" is left out: it is not needed")
			}
			v.gone = true
			continue
		case verdict.Name != v.name && e.find(verdict.Name) != nil && !e.find(verdict.Name).gone:
			v.gone = true // Remora's own name is set too, and takes precedence
			m.missing = append(m.missing, v.name+" is left out: "+verdict.Name+" counts")
			continue
		case verdict.Name != v.name:
			m.changes = append(m.changes, v.name+" is "+verdict.Name+" here")
		}
		if verdict.Name == "REMORA_COMPAT" {
			named = verdict.Value
		}
		v.write(verdict.Name, verdict.Value)
		v.name, v.value = verdict.Name, verdict.Value
	}
	e.prune()
	if named == "" && e.find("REMORA_COMPAT") == nil && mode != "" {
		e.add("REMORA_COMPAT", mode)
	}
}

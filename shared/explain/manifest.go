// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/remora-logs/remora/shared/declare"
)

// maxManifest is how much of a file is read.
const maxManifest = 16 << 20

// readUnits reads the containers of a file: those of every Pod and Pod template in its documents, of any kind, and of every
// service of a Compose file. It reads a file for REMORA_CONFIG as the sidecar does.
func readUnits(path string, r io.Reader) ([]unit, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxManifest))
	if err != nil {
		return nil, err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var units []unit
	for {
		var document yaml.Node
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && len(document.Content) > 0 && (member(document.Content[0], "logs") != nil || member(document.Content[0], "outputs") != nil) {
			return []unit{{input: declare.Input{File: declare.ReadFile(path, data)}}}, nil
		}
		if err == nil {
			err = collect(&document, &units)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if len(units) == 0 {
		return nil, fmt.Errorf("%s: holds neither a Pod, nor a Pod template, nor a Compose service, nor logs", path)
	}
	return units, nil
}

// collect finds Pods and services in node. The decoder expands aliases, within its own bounds.
func collect(node *yaml.Node, units *[]unit) error {
	if node.Kind == yaml.MappingNode {
		if services := member(node, "services"); services != nil && services.Kind == yaml.MappingNode {
			return collectServices(services, units)
		}
		if spec := member(node, "spec"); spec != nil && member(spec, "containers") != nil {
			var p pod
			if err := node.Decode(&p); err != nil {
				return err
			}
			*units = append(*units, p.units()...)
			return nil
		}
	}
	for _, child := range node.Content {
		if err := collect(child, units); err != nil {
			return err
		}
	}
	return nil
}

// member returns the value of a mapping's key, or nil.
func member(node *yaml.Node, key string) *yaml.Node {
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i+1]
		}
	}
	return nil
}

// pod is the part of a Pod or Pod template (k8s.io/api/core/v1) that declares logs.
type pod struct {
	Metadata struct {
		Annotations map[string]string
	}
	Spec struct {
		InitContainers []podContainer `yaml:"initContainers"`
		Containers     []podContainer
	}
}

type podContainer struct {
	Name, Image string
	Env         []struct {
		Name, Value string
		ValueFrom   *yaml.Node `yaml:"valueFrom"`
	}
}

// units returns the Pod's containers. Annotations are read together with the environment of the sidecar, as the sidecar
// does, or alone if there is no sidecar.
func (p *pod) units() []unit {
	var units []unit
	annotations := p.Metadata.Annotations
	for _, c := range append(p.Spec.InitContainers, p.Spec.Containers...) {
		u := unit{name: c.Name}
		sidecar := false
		for _, v := range c.Env {
			if v.ValueFrom == nil {
				u.input.Env = append(u.input.Env, v.Name+"="+v.Value)
			} else {
				u.warnings = append(u.warnings, declare.Problem{Key: v.Name, Message: "takes its value from elsewhere (valueFrom), where it can't be seen"})
				if !strings.Contains(v.Name, "_logs_") { // it is set, so it can be used in $(NAME) and tags_from
					u.input.Env = append(u.input.Env, v.Name+"=")
				}
			}
			if v.Name == "PILOT_LOG_PREFIX" {
				u.prefix = v.Value
			}
			sidecar = sidecar || strings.HasPrefix(v.Name, "REMORA_")
		}
		if sidecar || strings.Contains(c.Image, "remora") {
			u.name, u.input.Annotations, annotations = "", annotations, nil
		}
		units = append(units, u)
	}
	if len(annotations) > 0 {
		units = append(units, unit{input: declare.Input{Annotations: annotations}})
	}
	return units
}

// service is the part of a Compose service that declares logs.
type service struct {
	Labels, Environment settings
	Logging             struct {
		Driver  string
		Options map[string]string
	}
	Deploy struct{ Labels settings }
}

func collectServices(node *yaml.Node, units *[]unit) error {
	for i := 0; i+1 < len(node.Content); i += 2 {
		var s service
		name := node.Content[i].Value
		if err := node.Content[i+1].Decode(&s); err != nil {
			return fmt.Errorf("service %s: %w", name, err)
		}
		*units = append(*units, s.unit(name))
	}
	return nil
}

func (s *service) unit(name string) unit {
	u := unit{name: name, input: declare.Input{Labels: make(map[string]string)}}
	for _, label := range s.Labels {
		u.input.Labels[label.Key] = label.Value
	}
	for _, v := range s.Environment {
		u.input.Env = append(u.input.Env, v.Key+"="+v.Value)
	}
	if u.driver = IsRemora(s.Logging.Driver); u.driver {
		u.input.Options = s.Logging.Options
	}
	for _, label := range s.Deploy.Labels {
		u.warnings = append(u.warnings, declare.Problem{Key: label.Key,
			Message: "is a label of the service, which does not reach its containers; write it under labels, not under deploy"})
	}
	return u
}

// settings are keys and values, which Compose accepts as a mapping or as a list of key=value.
type settings []declare.Pair

// UnmarshalYAML implements yaml.Unmarshaler. As in Compose, $$ stands for $.
func (s *settings) UnmarshalYAML(node *yaml.Node) error {
	var m map[string]string
	var list []string
	if err := node.Decode(&list); err == nil {
		for _, element := range list {
			key, value, ok := strings.Cut(element, "=")
			if ok {
				*s = append(*s, declare.Pair{Key: key, Value: strings.ReplaceAll(value, "$$", "$")})
			}
		}
		return nil
	}
	if err := node.Decode(&m); err != nil {
		return err
	}
	for key, value := range m {
		*s = append(*s, declare.Pair{Key: key, Value: strings.ReplaceAll(value, "$$", "$")})
	}
	return nil
}

// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// fromInspect converts the output of docker inspect to a Compose file. Each element is a container
// (moby api/types/container.InspectResponse) or a Swarm service (api/types/swarm.Service). It returns nil for other documents.
func fromInspect(root *yaml.Node) *yaml.Node {
	all := []*yaml.Node{root}
	if root.Kind == yaml.SequenceNode {
		all = root.Content
	}
	services, volumes, networks, swarm := mapping(), mapping(), mapping(), false
	for _, c := range all {
		if spec := member(member(c, "Spec"), "TaskTemplate"); member(spec, "ContainerSpec") != nil {
			service := ofSwarm(member(c, "Spec"))
			set(services, value(member(member(c, "Spec"), "Name")), service)
			swarm = true
			declareExternal(volumes, networks, service)
			continue
		}
		config := member(c, "Config")
		if config == nil || member(config, "Image") == nil {
			return nil
		}
		name := strings.TrimPrefix(value(member(c, "Name")), "/")
		if name == "" {
			name = "log-pilot"
		}
		service := serviceOf(name, config, member(c, "HostConfig"))
		set(services, name, service)
		declareExternal(volumes, networks, service)
	}
	if len(services.Content) == 0 {
		return nil
	}
	file := mapping(text("services"), services)
	if swarm { // docker stack requires a version
		file = mapping(text("version"), text("3.8"), text("services"), services)
	}
	for _, part := range []struct {
		key string
		all *yaml.Node
	}{{"volumes", volumes}, {"networks", networks}} {
		if len(part.all.Content) > 0 {
			set(file, part.key, part.all)
		}
	}
	return file
}

// declareExternal declares the volumes and networks of a service, which exist already.
func declareExternal(volumes, networks, service *yaml.Node) {
	external := func() *yaml.Node {
		return mapping(text("external"), &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "true"})
	}
	if list := member(service, "volumes"); list != nil {
		for _, volume := range list.Content {
			if name, _, _ := strings.Cut(value(volume), ":"); !strings.HasPrefix(name, "/") {
				set(volumes, name, external())
			}
		}
	}
	if list := member(service, "networks"); list != nil {
		for _, network := range list.Content {
			set(networks, value(network), external())
		}
	}
}

// literal returns a text node with $ doubled, so that Compose expands no variables in it.
func literal(s string) *yaml.Node { return text(strings.ReplaceAll(s, "$", "$$")) }

// ofSwarm returns a Swarm service as one of a stack file.
func ofSwarm(spec *yaml.Node) *yaml.Node {
	of := member(member(spec, "TaskTemplate"), "ContainerSpec")
	image, _, _ := strings.Cut(value(member(of, "Image")), "@") // the digest is Swarm's
	service := mapping(text("image"), literal(image))
	if env := member(of, "Env"); env != nil && env.Kind == yaml.SequenceNode && len(env.Content) > 0 {
		list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for _, v := range env.Content {
			list.Content = append(list.Content, literal(value(v)))
		}
		set(service, "environment", list)
	}
	mounts(service, member(of, "Mounts"))
	mode := "replicated"
	if member(member(spec, "Mode"), "Global") != nil {
		mode = "global"
	}
	set(service, "deploy", mapping(text("mode"), text(mode)))
	return service
}

// serviceOf returns a container as a Compose service.
func serviceOf(name string, config, host *yaml.Node) *yaml.Node {
	service := mapping(text("image"), literal(value(member(config, "Image"))), text("container_name"), literal(name))
	list := func(key string, from *yaml.Node) {
		if from == nil || from.Kind != yaml.SequenceNode || len(from.Content) == 0 {
			return
		}
		to := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for _, element := range from.Content {
			if !strings.HasPrefix(value(element), "PATH=") { // the image's own
				to.Content = append(to.Content, literal(value(element)))
			}
		}
		set(service, key, to)
	}
	list("environment", member(config, "Env"))
	if labels := member(config, "Labels"); labels != nil && labels.Kind == yaml.MappingNode && len(labels.Content) > 0 {
		to := mapping()
		for i := 0; i+1 < len(labels.Content); i += 2 {
			if key := labels.Content[i].Value; !strings.HasPrefix(key, "com.docker.compose.") {
				to.Content = append(to.Content, text(key), literal(value(labels.Content[i+1])))
			}
		}
		if len(to.Content) > 0 {
			set(service, "labels", to)
		}
	}
	list("volumes", member(host, "Binds"))
	mounts(service, member(host, "Mounts"))
	list("cap_add", member(host, "CapAdd"))
	list("security_opt", member(host, "SecurityOpt"))
	if value(member(host, "Privileged")) == "true" {
		set(service, "privileged", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "true"})
	}
	switch mode := value(member(host, "NetworkMode")); {
	case mode == "host", mode == "none", strings.HasPrefix(mode, "container:"):
		set(service, "network_mode", literal(mode))
	case mode != "" && mode != "default" && mode != "bridge":
		set(service, "networks", &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: []*yaml.Node{literal(mode)}})
	}
	if restart := value(member(member(host, "RestartPolicy"), "Name")); restart != "" && restart != "no" {
		set(service, "restart", text(restart))
	}
	if memory := value(member(host, "Memory")); memory != "" && memory != "0" {
		set(service, "mem_limit", text(memory))
	}
	return service
}

// mounts adds the mounts that were given by --mount to the service's volumes, in the short form.
func mounts(service, from *yaml.Node) {
	if from == nil || from.Kind != yaml.SequenceNode {
		return
	}
	list := member(service, "volumes")
	if list == nil {
		list = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	}
	for _, mount := range from.Content {
		kind, source, target := value(member(mount, "Type")), value(member(mount, "Source")), value(member(mount, "Target"))
		if kind != "bind" && kind != "volume" || source == "" {
			continue
		}
		volume := strings.ReplaceAll(source+":"+target, "$", "$$")
		if value(member(mount, "ReadOnly")) == "true" {
			volume += ":ro"
		}
		list.Content = append(list.Content, text(volume))
	}
	if len(list.Content) > 0 {
		set(service, "volumes", list)
	}
}

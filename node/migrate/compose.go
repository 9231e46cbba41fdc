// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// services converts log-pilot's services in a Swarm stack or a Compose file of any version.
func (m *migration) services(root, services *yaml.Node) error {
	if services.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(services.Content); i += 2 {
		name, service := services.Content[i].Value, follow(services.Content[i+1])
		if service.Kind != yaml.MappingNode {
			continue
		}
		whole := services.Content[i+1]
		if borrows(whole) {
			copied, err := m.copyOf(whole, maxDepth) // an alias may be shared with other services
			if err != nil {
				return err
			}
			service = copied
		}
		if member(service, "image") == nil || !m.isPilot(name, service, fromService(service)) {
			continue
		}
		if lends(services.Content[i+1]) && borrows(root) { // a change must not affect the services that share its anchors
			if err := m.own(root); err != nil {
				return err
			}
			return m.document(root)
		}
		services.Content[i+1] = service
		m.service(root, service)
	}
	return nil
}

func (m *migration) service(root, service *yaml.Node) {
	m.found++
	e, mode := fromService(service), m.Mode
	if mode == "" {
		mode = modeOf(e, value(member(service, "image")))
	}
	m.image(service, mode)
	m.settings(service, e, mode)
	for _, key := range []string{"command", "entrypoint"} {
		if remove(service, key) {
			m.changed(key + " was log-pilot's own and is left out")
		}
	}
	if value(member(service, "privileged")) == "true" {
		remove(service, "privileged")
		m.changed("privileged is left out: the agent reads files as root and needs no other right")
	}
	if m.withoutAdmin(member(service, "cap_add")) && len(member(service, "cap_add").Content) == 0 {
		remove(service, "cap_add")
	}
	m.volumes(root, service, e.get("FILE_PATH"))
	if member(service, "deploy") != nil && e.find("REMORA_HOST") == nil {
		e.add("REMORA_HOST", "{{.Node.Hostname}}")
		m.changed("REMORA_HOST is the machine's name, for the tag host")
	}
	m.describe(mode, e.get("LOGGING_OUTPUT"), e)
}

// volumes converts the volumes of a service, each in the short form, a string, or the long form, a mapping.
func (m *migration) volumes(root, service *yaml.Node, filePath string) {
	list := member(service, "volumes")
	state, ours := false, false
	if list == nil || list.Kind != yaml.SequenceNode {
		list = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		set(service, "volumes", list)
	}
	list.Content = slices.DeleteFunc(list.Content, func(volume *yaml.Node) bool {
		path := strings.TrimRight(targetOf(volume), "/")
		state, ours = state || path == "/var/lib/filebeat", ours || path == "/var/lib/remora"
		why, unused := unusedMounts[path]
		if unused {
			m.missing = append(m.missing, "the mount at "+path+" is left out: "+why)
		}
		return unused
	})
	for _, volume := range list.Content {
		if strings.TrimRight(targetOf(volume), "/") == "/host" {
			m.hostRoot(volume, below(filePath, "/host"))
		}
	}
	if m.keepsState(state, ours) {
		return
	}
	if member(root, "services") == nil { // the first version of Compose files knows no volumes beside services
		list.Content = append(list.Content, text(stateDir+":"+stateDir))
		return
	}
	list.Content = append(list.Content, text(stateVolume+":"+stateDir))
	if volumes := member(root, "volumes"); volumes != nil && volumes.Kind == yaml.MappingNode {
		set(volumes, stateVolume, mapping())
	} else {
		set(root, "volumes", mapping(text(stateVolume), mapping()))
	}
}

// targetOf returns where a volume of a service is mounted.
func targetOf(volume *yaml.Node) string {
	if volume.Kind == yaml.MappingNode {
		return value(member(volume, "target"))
	}
	parts := strings.Split(value(volume), ":")
	return parts[min(1, len(parts)-1)]
}

// hostRoot makes the mount of the host's root read-only unless writes is set, which means that output files are written there.
// It also makes later mounts visible to the agent.
func (m *migration) hostRoot(volume *yaml.Node, writes bool) {
	const later = "rslave lets the agent see volumes that are mounted after its start; leave it out where Docker refuses it"
	if volume.Kind == yaml.MappingNode {
		if !writes {
			set(volume, "read_only", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "true"})
		}
		if member(volume, "bind") == nil {
			set(volume, "bind", mapping(text("propagation"), text("rslave")))
			m.changed(later)
		}
		return
	}
	parts := strings.SplitN(value(volume), ":", 3)
	if len(parts) < 2 {
		return // an anonymous volume at /host
	}
	var options []string
	if len(parts) == 3 {
		options = slices.DeleteFunc(strings.Split(parts[2], ","), func(o string) bool { return o == "rw" && !writes })
	}
	if !writes && !slices.Contains(options, "ro") {
		options = append(options, "ro")
		m.changed("the host's root is mounted read-only")
	}
	if !slices.ContainsFunc(options, func(o string) bool { return strings.HasSuffix(o, "slave") || strings.HasSuffix(o, "shared") }) {
		options = append(options, "rslave")
		m.changed(later)
	}
	volume.SetString(parts[0] + ":/host:" + strings.Join(options, ","))
}

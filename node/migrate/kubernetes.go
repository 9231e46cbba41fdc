// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// object converts a Kubernetes object: a Pod, a workload with a Pod template, or a List of them.
func (m *migration) object(root *yaml.Node) error {
	if items := member(root, "items"); items != nil && items.Kind == yaml.SequenceNode {
		for _, item := range items.Content {
			if item = follow(item); item.Kind == yaml.MappingNode {
				if err := m.object(item); err != nil {
					return err
				}
			}
		}
		return nil
	}
	pod := podOf(root)
	if pod == nil || !m.holdsPilot(pod) {
		return nil
	}
	if err := m.own(root); err != nil { // so that changes affect nothing that shares an anchor
		return err
	}
	pod = podOf(root)
	spec := member(pod, "spec")
	for _, c := range member(spec, "containers").Content {
		if e := fromPod(c); m.isPilot(value(member(c, "name")), c, e) {
			m.container(spec, c, e)
		}
	}
	m.version(root, pod)
	return nil
}

// podOf returns the Pod or Pod template of an object, or nil if it has none.
func podOf(root *yaml.Node) *yaml.Node {
	spec := member(root, "spec")
	ofJob := member(member(member(spec, "jobTemplate"), "spec"), "template") // a CronJob's
	for _, pod := range []*yaml.Node{root, member(spec, "template"), ofJob} {
		if containers := member(member(pod, "spec"), "containers"); containers != nil && containers.Kind == yaml.SequenceNode {
			return pod
		}
	}
	return nil
}

func (m *migration) holdsPilot(pod *yaml.Node) bool {
	return slices.ContainsFunc(member(member(pod, "spec"), "containers").Content, func(c *yaml.Node) bool {
		c = follow(c)
		return c.Kind == yaml.MappingNode && m.isPilot(value(member(c, "name")), c, fromPod(c))
	})
}

// container converts log-pilot's container in the spec of a Pod.
func (m *migration) container(spec, c *yaml.Node, e *environment) {
	m.found++
	mode := m.Mode
	if mode == "" {
		mode = modeOf(e, value(member(c, "image")))
	}
	m.image(c, mode)
	m.settings(c, e, mode)
	if e.find("NODE_NAME") == nil {
		list := member(c, "env")
		if list == nil {
			list = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
			set(c, "env", list)
		}
		list.Content = append(list.Content, mapping(text("name"), text("NODE_NAME"), text("valueFrom"),
			mapping(text("fieldRef"), mapping(text("fieldPath"), text("spec.nodeName")))))
		m.changed("NODE_NAME is the node's name, for the tag k8s_node_name")
	}
	for _, key := range []string{"command", "args"} {
		if remove(c, key) {
			m.changed(key + " was log-pilot's own and is left out")
		}
	}
	if remove(c, "privileged") {
		m.changed("privileged at a container is no field of Kubernetes and is left out")
	}
	m.podRights(c)
	output := e.get("LOGGING_OUTPUT")
	m.mounts(spec, c, e.get("FILE_PATH"))
	m.describe(mode, output, e)
}

// image replaces log-pilot's image by the node agent's.
func (m *migration) image(of *yaml.Node, mode string) {
	set(of, "image", text(m.Image))
	switch mode {
	case "":
		m.changed("the image is " + m.Image + "; which of Filebeat and fluentd log-pilot ran is not known: name it with --type, or REMORA_COMPAT")
	default:
		m.changed("the image is " + m.Image + ", and REMORA_COMPAT=" + mode + " gives records log-pilot's shape")
	}
}

// podRights removes the privileges that only log-pilot needed, to unmount file systems.
func (m *migration) podRights(c *yaml.Node) {
	security := member(c, "securityContext")
	if security == nil {
		return
	}
	if value(member(security, "privileged")) == "true" {
		remove(security, "privileged")
		m.changed("privileged is left out: the agent reads files as root and needs no other right")
	}
	capabilities := member(security, "capabilities")
	if m.withoutAdmin(member(capabilities, "add")) && len(member(capabilities, "add").Content) == 0 {
		remove(capabilities, "add")
	}
	m.mayRead(capabilities)
	if capabilities != nil && len(capabilities.Content) == 0 {
		remove(security, "capabilities")
	}
	if len(security.Content) == 0 {
		remove(c, "securityContext")
	}
}

// mayRead adds DAC_READ_SEARCH if all capabilities are dropped: the agent reads files of any owner.
func (m *migration) mayRead(capabilities *yaml.Node) {
	is := func(list *yaml.Node, name string) bool {
		return list != nil && slices.ContainsFunc(list.Content, func(c *yaml.Node) bool {
			return strings.TrimPrefix(strings.ToUpper(value(c)), "CAP_") == name
		})
	}
	add := member(capabilities, "add")
	if !is(member(capabilities, "drop"), "ALL") || is(add, "DAC_READ_SEARCH") || is(add, "DAC_OVERRIDE") {
		return
	}
	if add == nil {
		add = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		set(capabilities, "add", add)
	}
	add.Content = append(add.Content, text("DAC_READ_SEARCH"))
	m.changed("the capability DAC_READ_SEARCH lets the agent read files whoever they belong to")
}

// withoutAdmin removes SYS_ADMIN from a list of capabilities and reports whether it was there.
func (m *migration) withoutAdmin(list *yaml.Node) bool {
	if list == nil || list.Kind != yaml.SequenceNode {
		return false
	}
	n := len(list.Content)
	list.Content = slices.DeleteFunc(list.Content, func(c *yaml.Node) bool {
		return strings.TrimPrefix(strings.ToUpper(value(c)), "CAP_") == "SYS_ADMIN"
	})
	if len(list.Content) == n {
		return false
	}
	m.changed("the capability SYS_ADMIN is left out: the agent unmounts nothing")
	return true
}

// unusedMounts maps paths in log-pilot's container that the agent does not use to the reason.
var unusedMounts = map[string]string{
	"/var/log/filebeat": "Filebeat's own log is not written: the agent logs to stderr",
	"/etc/filebeat":     configurationUnused, "/etc/filebeat/filebeat.yml": configurationUnused, "/etc/filebeat/prospectors.d": configurationUnused,
	"/etc/fluentd": configurationUnused, "/etc/fluentd/fluentd.conf": configurationUnused, "/etc/fluentd/conf.d": configurationUnused,
	"/pilot/filebeat.tpl": configurationUnused, "/pilot/fluentd.tpl": configurationUnused,
	"/pilot/config.filebeat": configurationUnused, "/pilot/config.fluentd": configurationUnused,
	"/acs/log": "no links to volumes are made below it",
}

const configurationUnused = "configuration of Filebeat or fluentd is not read: write its settings as variables, and its filters as keys of a log or rules"

// mounts converts the volume mounts of log-pilot's container. It removes those that the agent does not use, makes later mounts
// below the host's root visible, and adds a volume for the agent's state if none is mounted.
func (m *migration) mounts(spec, c *yaml.Node, filePath string) {
	list := member(c, "volumeMounts")
	if list == nil || list.Kind != yaml.SequenceNode {
		list = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		set(c, "volumeMounts", list)
	}
	removed := map[string]bool{}
	list.Content = slices.DeleteFunc(list.Content, func(mount *yaml.Node) bool {
		path := strings.TrimRight(value(member(mount, "mountPath")), "/")
		why, unused := unusedMounts[path]
		if unused {
			m.missing = append(m.missing, "the mount at "+path+" is left out: "+why)
			removed[value(member(mount, "name"))] = true
		}
		return unused
	})
	dropVolumes(spec, removed)
	for _, mount := range list.Content {
		path := strings.TrimRight(value(member(mount, "mountPath")), "/")
		if path != "/host" || mount.Kind != yaml.MappingNode {
			continue
		}
		if value(member(mount, "readOnly")) != "true" && !below(filePath, "/host") {
			set(mount, "readOnly", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "true"})
			m.changed("the host's root is mounted read-only")
		}
		if member(mount, "mountPropagation") == nil {
			set(mount, "mountPropagation", text("HostToContainer"))
			m.changed("mountPropagation lets the agent see volumes that are mounted after its start")
		}
	}
	has := func(path string) bool {
		return slices.ContainsFunc(list.Content, func(mount *yaml.Node) bool {
			return strings.TrimRight(value(member(mount, "mountPath")), "/") == path
		})
	}
	if !m.keepsState(has("/var/lib/filebeat"), has(stateDir)) {
		list.Content = append(list.Content, mapping(text("name"), text(stateVolume), text("mountPath"), text(stateDir)))
		volumes := member(spec, "volumes")
		if volumes == nil {
			volumes = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
			set(spec, "volumes", volumes)
		}
		volumes.Content = append(volumes.Content, mapping(text("name"), text(stateVolume), text("hostPath"),
			mapping(text("path"), text(stateDir), text("type"), text("DirectoryOrCreate"))))
	}
}

// dropVolumes removes the volumes of removed mounts, unless another mount of the Pod uses them.
func dropVolumes(spec *yaml.Node, removed map[string]bool) {
	volumes := member(spec, "volumes")
	if len(removed) == 0 || volumes == nil || volumes.Kind != yaml.SequenceNode {
		return
	}
	for _, key := range []string{"containers", "initContainers"} {
		all := member(spec, key)
		if all == nil {
			continue
		}
		for _, c := range all.Content {
			if mounts := member(c, "volumeMounts"); mounts != nil {
				for _, used := range mounts.Content {
					delete(removed, value(member(used, "name")))
				}
			}
		}
	}
	volumes.Content = slices.DeleteFunc(volumes.Content, func(v *yaml.Node) bool { return removed[value(member(v, "name"))] })
}

// version changes a workload of an old API version to apps/v1, and a CronJob to batch/v1, which later clusters require.
func (m *migration) version(root, pod *yaml.Node) {
	was := value(member(root, "apiVersion"))
	if kind := value(member(root, "kind")); kind == "CronJob" || kind == "Job" {
		m.missing = append(m.missing, "a "+kind+" waits for its end, and the agent does not end by itself: make a DaemonSet of it")
		if was == "batch/v1beta1" || was == "batch/v2alpha1" {
			set(root, "apiVersion", text("batch/v1"))
			m.changed("apiVersion is batch/v1: Kubernetes 1.25 and later do not know " + was)
		}
		return
	}
	if was != "extensions/v1beta1" && was != "apps/v1beta1" && was != "apps/v1beta2" {
		return
	}
	set(root, "apiVersion", text("apps/v1"))
	m.changed("apiVersion is apps/v1: Kubernetes 1.16 and later do not know " + was)
	spec, labels := member(root, "spec"), member(member(pod, "metadata"), "labels")
	if member(spec, "selector") != nil {
		return
	}
	if labels == nil || len(labels.Content) == 0 {
		m.missing = append(m.missing, "the Pod template has no labels, so that no selector can be written, which apps/v1 asks for")
		return
	}
	copied, err := m.copyOf(labels, maxDepth)
	if err != nil {
		return
	}
	spec.Content = append([]*yaml.Node{text("selector"), mapping(text("matchLabels"), copied)}, spec.Content...)
	m.changed("the selector, which apps/v1 asks for, is the template's labels: if the workload exists already, delete it first, for a selector can't be changed")
}

func below(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

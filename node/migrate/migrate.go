// SPDX-License-Identifier: Apache-2.0

// Package migrate turns a manifest of log-pilot into one of the node agent: a Kubernetes workload, a Compose file, or what
// docker inspect prints. Nothing is fetched or run, and no value of a variable gets into a message.
package migrate

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/remora-logs/remora/shared/escape"
)

// Options are what a manifest does not say.
type Options struct {
	Image string // of the node agent
	Mode  string // what log-pilot ran: filebeat, fluentd, or empty to take it from the manifest
	// Container is the name of log-pilot's container or service, where its image does not tell.
	Container string
}

// Result is a manifest for the node agent, and what is to be said of it.
type Result struct {
	// Manifest is YAML. It holds the secrets that the input holds; nothing else of Result does.
	Manifest []byte `json:"-"`
	// Changes are what is different in the manifest, Records in what is delivered, and Missing what has no counterpart.
	Changes []string `json:"changes"`
	Records []string `json:"records"`
	Missing []string `json:"missing"`
}

// migration is a Result in the making.
type migration struct {
	Options
	copier
	changes, records, missing []string
	found                     int
	// byVariables says that no image is log-pilot's by its name, so that variables have to tell.
	byVariables bool
}

// Run reads log-pilot's manifest, MaxInput bytes at most.
func Run(r io.Reader, o Options) (*Result, error) {
	documents, err := read(r)
	if err != nil {
		return nil, err
	}
	m := &migration{Options: o, copier: copier{left: maxCopied}}
	for i, document := range documents {
		if len(document.Content) == 0 {
			continue
		}
		if service := fromInspect(document.Content[0]); service != nil {
			m.changed("docker inspect prints no manifest: this is a Compose file with the same settings")
			documents[i].Content[0] = service
		}
	}
	for _, m.byVariables = range []bool{false, true} {
		for _, document := range documents {
			if len(document.Content) == 0 || m.byVariables && m.found > 0 {
				continue
			}
			if err := m.document(document.Content[0]); err != nil {
				return nil, err
			}
		}
	}
	if m.found == 0 && o.Container != "" {
		return nil, errors.New("it holds no container or service " + escape.Word(o.Container))
	}
	if m.found == 0 {
		return nil, errors.New("it holds no container of log-pilot; if it does under another image, name the container with --container")
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	for _, document := range documents {
		if err := encoder.Encode(document); err != nil {
			return nil, errors.New("it can't be written again as YAML")
		}
	}
	if err := encoder.Close(); err != nil {
		return nil, err
	}
	return &Result{Manifest: out.Bytes(), Changes: unique(m.changes), Records: unique(m.records), Missing: unique(m.missing)}, nil
}

func (m *migration) changed(text string) { m.changes = append(m.changes, text) }

// unique returns the messages in order and each once, fit to be shown on one line. The array is never nil.
func unique(all []string) []string {
	once, seen := make([]string, 0, len(all)), map[string]bool{}
	for _, text := range all {
		if text = escape.Text(text); !seen[text] {
			seen[text] = true
			once = append(once, text)
		}
	}
	return once
}

// document migrates a document of any kind: what it does not know stays as it is.
func (m *migration) document(root *yaml.Node) error {
	switch {
	case root.Kind != yaml.MappingNode:
		return nil
	case value(member(root, "kind")) != "":
		return m.object(root)
	}
	services := member(root, "services")
	if services == nil {
		services = root // a Compose file of the first version
	}
	return m.services(root, services)
}

// isPilot reports whether a container or service is log-pilot: by its image or, where none has such a name, by variables and
// mounts that nothing else has.
func (m *migration) isPilot(name string, c *yaml.Node, e *environment) bool {
	if m.Container != "" {
		return name == m.Container && !m.byVariables
	}
	image := value(member(c, "image"))
	base := image[strings.LastIndex(image, "/")+1:]
	if strings.Contains(base, "remora") {
		return false
	}
	for _, word := range []string{"log-pilot", "logpilot", "fluentd-pilot", "filebeat-pilot"} {
		if strings.Contains(base, word) {
			return true
		}
	}
	return m.byVariables && (e.find("PILOT_TYPE") != nil || e.find("FILEBEAT_OUTPUT") != nil || e.find("FLUENTD_OUTPUT") != nil) && seesHost(c)
}

// seesHost reports whether a container or service has the mounts by which log-pilot finds others.
func seesHost(c *yaml.Node) bool {
	for _, key := range []string{"volumeMounts", "volumes"} {
		list := member(c, key)
		if list == nil {
			continue
		}
		for _, mount := range list.Content {
			target := targetOf(follow(mount))
			if key == "volumeMounts" {
				target = value(member(mount, "mountPath"))
			}
			if target = strings.TrimRight(target, "/"); target == "/host" || strings.HasSuffix(target, "/docker.sock") {
				return true
			}
		}
	}
	return false
}

// Write writes the manifest behind what is to be said of it, in comments.
func (r *Result) Write(w io.Writer) error {
	var b bytes.Buffer
	for _, part := range []struct {
		title string
		all   []string
	}{
		{"What is different in this manifest:", r.Changes},
		{"What is different in records and where they go:", r.Records},
		{"What has no counterpart:", r.Missing},
	} {
		if len(part.all) == 0 {
			continue
		}
		b.WriteString("# " + part.title + "\n")
		for _, text := range part.all {
			b.WriteString("# - " + text + "\n")
		}
		b.WriteString("#\n")
	}
	b.Write(r.Manifest)
	_, err := w.Write(b.Bytes())
	return err
}

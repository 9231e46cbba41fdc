// SPDX-License-Identifier: Apache-2.0

// Package migrate converts a manifest of log-pilot into one of the node agent: a Kubernetes workload, a Compose file, or the
// output of docker inspect. It fetches and runs nothing. No message contains the value of a variable.
package migrate

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/remora-logs/remora/shared/escape"
)

// Options hold what a manifest does not say.
type Options struct {
	Image string // the node agent's image
	Mode  string // what log-pilot ran: filebeat, fluentd, or empty to derive it from the manifest
	// Container is the name of log-pilot's container or service; empty to recognize it by its image.
	Container string
}

// Result is a manifest for the node agent with remarks.
type Result struct {
	// Manifest is YAML. It holds the secrets of the input; the other fields hold none.
	Manifest []byte `json:"-"`
	// Changes lists the differences in the manifest, Records those in delivered records, and Missing what has no counterpart.
	Changes []string `json:"changes"`
	Records []string `json:"records"`
	Missing []string `json:"missing"`
}

// migration is the state of one Run.
type migration struct {
	Options
	copier
	changes, records, missing []string
	found                     int
	// byVariables is set in the second pass, in which log-pilot is recognized by variables, because no image has its name.
	byVariables bool
}

// Run reads log-pilot's manifest, of at most MaxInput bytes, and converts it.
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

// unique returns the messages in order without duplicates, each escaped for one line. The result is never nil.
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

// document converts a document of any kind. What it does not know stays unchanged.
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

// isPilot reports whether a container or service is log-pilot: by its name in Options, by its image or, in the second pass, by
// variables and mounts that are specific to log-pilot.
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

// seesHost reports whether a container or service mounts the host's root or Docker's socket, as log-pilot does.
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

// Write writes the remarks as comments, followed by the manifest.
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

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/manifest"
	"github.com/remora-logs/remora/shared/spool"
)

// options are the parameters of the logging URI.
type options struct {
	spool        string
	whenFull     string
	blockTimeout time.Duration
	others       map[string]string // log options of the Docker driver, for the agent
	problems     []string
}

// driverOptions are the log options of the Docker driver that the agent understands.
var driverOptions = map[string]bool{"target": true, "format": true, "tags": true, "output": true, "multiline": true,
	"time_key": true, "time_format": true, "pattern": true, "mask": true, "drop": true, "keep": true, "add": true,
	"remove": true, "rename": true, "rate_limit": true, "tag": true, "labels": true, "env": true, "labels-regex": true, "env-regex": true}

// parseArguments parses the parameters, which the shim passes as names and values in alternation, in any order.
func parseArguments(args []string) (o options, unknown []string) {
	o = options{spool: defaultSpool, others: map[string]string{}}
	for i := 0; i+1 < len(args); i += 2 {
		name, value := args[i], args[i+1]
		switch {
		case name == "spool" && filepath.IsAbs(value):
			o.spool = filepath.Clean(value)
		case name == "spool":
			o.problems = append(o.problems, fmt.Sprintf("parameter spool is %q, which is not absolute", value))
		case name == "when-full":
			if _, err := spool.ParsePolicy(value); err != nil {
				o.problems = append(o.problems, "parameter when-full: "+err.Error())
			} else {
				o.whenFull = value
			}
		case name == "block-timeout":
			d, err := time.ParseDuration(value)
			if err != nil || d <= 0 {
				o.problems = append(o.problems, fmt.Sprintf("parameter block-timeout is %q, not a duration such as 8s", value))
			} else {
				o.blockTimeout = d
			}
		case driverOptions[name] || strings.Contains(name, ".logs."):
			o.others[name] = value
		default:
			unknown = append(unknown, name)
		}
	}
	return o, unknown
}

const (
	// maxBundle bounds the size of a container's config.json in bytes, maxDeclared the declarations and annotations that are
	// kept of it, and maxMounts the number of mounts.
	maxBundle   = 4 << 20
	maxDeclared = 64 << 10
	maxMounts   = 256
)

// bundle is the part of an OCI bundle's config.json (opencontainers/runtime-spec) that is read.
type bundle struct {
	Process struct {
		Env []string `json:"env"`
	} `json:"process"`
	Annotations map[string]string `json:"annotations"`
	Mounts      []struct {
		Destination string `json:"destination"`
		Type        string `json:"type"`
		Source      string `json:"source"`
	} `json:"mounts"`
}

// describe returns the manifest of the container whose bundle is in dir. If the bundle cannot be read, it records a problem,
// and the container is still captured.
func describe(o options, dir string) *manifest.Container {
	m := &manifest.Container{Runtime: "containerd", Namespace: os.Getenv("CONTAINER_NAMESPACE"), ID: os.Getenv("CONTAINER_ID"),
		Started: time.Now(), Options: o.others, Problems: o.problems}
	b, err := readBundle(filepath.Join(dir, "config.json"))
	if err != nil {
		m.Problems = append(m.Problems, "the container's bundle can't be read: "+err.Error())
		return m
	}
	left := maxDeclared
	keep := func(n int) bool {
		left -= n
		return left >= 0
	}
	for _, kv := range b.Process.Env {
		if name, _, _ := strings.Cut(kv, "="); strings.Contains(name, "_logs_") && keep(len(kv)) {
			m.Env = append(m.Env, kv)
		}
	}
	m.Labels = map[string]string{}
	for key, value := range b.Annotations {
		if identifies(key) && keep(len(key)+len(value)) {
			m.Labels[key] = value
		}
	}
	if left < 0 {
		m.Problems = append(m.Problems, fmt.Sprintf("declarations and annotations are longer than %d bytes; some are left out", maxDeclared))
	}
	m.Mounts = map[string]string{}
	for _, mount := range b.Mounts {
		if mount.Type == "bind" && len(m.Mounts) < maxMounts {
			m.Mounts[mount.Destination] = mount.Source
		}
	}
	return m
}

// identifies reports whether an annotation is a declaration or identifies the container.
func identifies(key string) bool {
	for _, prefix := range []string{"nerdctl/name", "nerdctl/namespace", "nerdctl/hostname", "com.docker.compose.",
		"io.kubernetes.pod.", "io.kubernetes.container.name", "io.kubernetes.cri.sandbox-n", "io.kubernetes.cri.sandbox-uid",
		"io.kubernetes.cri.container-name", "io.kubernetes.cri.image-name"} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return strings.Contains(key, ".logs.")
}

func readBundle(name string) (*bundle, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxBundle+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxBundle {
		return nil, fmt.Errorf("%s is longer than %d bytes", name, maxBundle)
	}
	var b bundle
	if json.Unmarshal(text, &b) != nil { // its error may quote the text
		return nil, errors.New(name + " is not a bundle's configuration")
	}
	return &b, nil
}

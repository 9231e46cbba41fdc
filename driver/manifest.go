// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/manifest"
	"github.com/remora-logs/remora/shared/record"
)

// containerManifest is what a restarted plugin has to know of a stream that it finds in its spool. It holds the tags that were
// made of a container's labels and environment, and its declarations, never the labels and the environment themselves:
// secrets are in them.
type containerManifest struct {
	// Format is manifest.Format; 0 stands for 1.
	Format int `json:"format"`
	// File is the path of the FIFO, as the engine gave it.
	File string `json:"file"`
	// Container is the container's id.
	Container string    `json:"container"`
	Started   time.Time `json:"started"`
	// Origin is who wrote it, Tags what else all records of the container are tagged with.
	Origin       []record.Tag          `json:"origin"`
	Tags         []record.Tag          `json:"tags"`
	Declarations []declare.Declaration `json:"declarations"`
	// WhenFull and BlockTimeout are what the container's log options ask for; empty and 0 where they don't.
	WhenFull     string        `json:"when_full,omitempty"`
	BlockTimeout time.Duration `json:"block_timeout,omitempty"`
}

// name returns what people call the container: its name, or its id where the name is not known.
func (m *containerManifest) name() string {
	for _, t := range m.Origin {
		if t.Key == "docker_container" {
			return t.Value
		}
	}
	return m.Container
}

// encode returns the manifest as it is stored.
func (m *containerManifest) encode() ([]byte, error) {
	current := *m
	current.Format = manifest.Format
	return json.Marshal(current)
}

// decodeManifest understands what encode wrote.
func decodeManifest(p []byte) (*containerManifest, error) {
	var m containerManifest
	if err := json.Unmarshal(p, &m); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if err := manifest.CheckFormat(m.Format); err != nil {
		return nil, err
	}
	return &m, nil
}

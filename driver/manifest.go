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

// containerManifest holds what a restarted plugin must know about a stream in its spool. It stores a container's declarations
// and the tags derived from its labels and environment, never the labels and the environment themselves, which may hold
// secrets.
type containerManifest struct {
	// Format is manifest.Format; 0 stands for 1.
	Format int `json:"format"`
	// File is the path of the FIFO as the engine gave it; empty in a stand-in whose FIFO is not known.
	File string `json:"file"`
	// Container is the container's ID.
	Container string    `json:"container"`
	Started   time.Time `json:"started"`
	// Origin identifies the container; Tags are the further tags of all its records.
	Origin       []record.Tag          `json:"origin"`
	Tags         []record.Tag          `json:"tags"`
	Declarations []declare.Declaration `json:"declarations"`
	// WhenFull and BlockTimeout are the container's log options; "" and 0 if they are not set.
	WhenFull     string        `json:"when_full,omitempty"`
	BlockTimeout time.Duration `json:"block_timeout,omitempty"`
}

// name returns the container's name, or its ID if the name is not known.
func (m *containerManifest) name() string {
	for _, t := range m.Origin {
		if t.Key == "docker_container" {
			return t.Value
		}
	}
	return m.Container
}

// encode returns the manifest in its stored form.
func (m *containerManifest) encode() ([]byte, error) {
	current := *m
	current.Format = manifest.Format
	return json.Marshal(current)
}

// decodeManifest decodes what encode has written. It returns a *manifest.NewerError for a format of a later version.
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

// SPDX-License-Identifier: Apache-2.0

// Package manifest holds what must be known of a captured stream after a restart: whose it is and what it declares.
package manifest

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
)

// Manifest is what a restarted plugin has to know of a stream that it finds in its spool. It holds the tags that were
// made of a container's labels and environment, and its declarations, never the labels and the environment themselves:
// secrets are in them.
type Manifest struct {
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

// Name is what people call the container: its name, or its id where the name is not known.
func (m *Manifest) Name() string {
	for _, t := range m.Origin {
		if t.Key == "docker_container" {
			return t.Value
		}
	}
	return m.Container
}

// Encode returns the manifest as it is stored.
func (m *Manifest) Encode() ([]byte, error) { return json.Marshal(m) }

// Decode understands what Encode wrote.
func Decode(p []byte) (*Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(p, &m); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return &m, nil
}

// shortID is how many digits of a container's id people use.
const shortID = 12

// Key names the stream of a container that was started at that time: a container that is started again has a new
// stream, so that an offset never means two things. Keys of one container ascend with time.
func Key(container string, started time.Time) string {
	return KeyPrefix(container) + "-" + strconv.FormatInt(started.UnixNano(), 36)
}

// KeyPrefix is what the keys of a container's streams have in common, before the last dash.
func KeyPrefix(container string) string {
	id := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, container)
	if id == "" {
		return "unknown"
	}
	return id[:min(len(id), shortID)]
}

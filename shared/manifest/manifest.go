// SPDX-License-Identifier: Apache-2.0

// Package manifest holds what must be known of a captured stream after a restart: how its log is called, and whose it is.
// It knows nothing of what a declaration means, so that a process that only captures can use it.
package manifest

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"
)

// shortID is how many digits of a container's id people use.
const shortID = 12

// Key names the stream of a container that was started at that time: a container that is started again has a new
// stream, so that an offset never means two things. Keys of one container ascend with time.
func Key(container string, started time.Time) string {
	return KeyPrefix(container) + "-" + strconv.FormatInt(started.UnixNano(), 36)
}

// KeyPrefix returns what the keys of a container's streams have in common, before the last dash.
func KeyPrefix(container string) string {
	id := clean(container)
	if id == "" {
		return "unknown"
	}
	return id[:min(len(id), shortID)]
}

// clean replaces what can't be part of a key.
func clean(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, name)
}

// Format is the version of a stream's directory: of its manifest, segments and gaps. It rises when one of them changes so that an
// older Remora would misread it; a member that may be ignored changes nothing. A manifest without one has version 1.
const Format = 1

// NewerError is the error of a manifest that a newer Remora wrote. Its stream is kept until that runs again.
type NewerError struct{ Format int }

func (e *NewerError) Error() string {
	return fmt.Sprintf("manifest: written by a newer Remora (format %d; this one knows %d)", e.Format, Format)
}

// CheckFormat returns a *NewerError for a format that this version does not know.
func CheckFormat(format int) error {
	if format > Format {
		return &NewerError{format}
	}
	return nil
}

// Container is what a logging binary knows of the container that it was started for. It holds declarations and identity,
// never the rest of its environment: secrets are in it.
type Container struct {
	// Format is that of the stream's directory; 0 stands for 1.
	Format int `json:"format"`
	// Runtime is containerd.
	Runtime   string    `json:"runtime"`
	Namespace string    `json:"namespace"`
	ID        string    `json:"id"`
	Started   time.Time `json:"started"`
	// Env are the variables that may be declarations, NAME=VALUE; Labels the annotations that may be, and those that tell
	// who the container is.
	Env    []string          `json:"env,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	// Image is what the container was started as. A logging binary does not know it; see Known.
	Image string `json:"image,omitempty"`
	// Mounts are where directories of the container are on this host, by the path in the container.
	Mounts map[string]string `json:"mounts,omitempty"`
	// Options are the parameters of the logging URI.
	Options map[string]string `json:"options,omitempty"`
	// Problems is what of it could not be read.
	Problems []string `json:"problems,omitempty"`
	// Damaged is set for a substitute of a manifest that can't be read.
	Damaged bool `json:"-"`
}

// maxName is how much of a namespace or id a key holds; a checksum tells longer ones apart.
const maxName = 40

// Key names the container's stream: a container that is started again has a new one.
func (c *Container) Key() string {
	namespace, id := clean(c.Namespace), clean(c.ID)
	sum := crc32.ChecksumIEEE([]byte(c.Namespace + "/" + c.ID))
	return fmt.Sprintf("%s_%s_%08x-%s", namespace[:min(len(namespace), maxName)], id[:min(len(id), maxName)], sum,
		strconv.FormatInt(c.Started.UnixNano(), 36))
}

// Encode returns the manifest as it is stored.
func (c *Container) Encode() ([]byte, error) {
	current := *c
	current.Format = Format
	return json.Marshal(current)
}

// DecodeContainer understands what Container.Encode wrote.
func DecodeContainer(p []byte) (*Container, error) {
	var c Container
	if err := json.Unmarshal(p, &c); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if err := CheckFormat(c.Format); err != nil {
		return nil, err
	}
	if c.ID == "" {
		return nil, fmt.Errorf("manifest: it names no container")
	}
	return &c, nil
}

// SPDX-License-Identifier: Apache-2.0

// Package manifest defines what must be known about a captured stream after a restart: the key of its log, and its container.
// It does not interpret declarations, so that a process that only captures can use it.
package manifest

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"
)

// shortID is the number of digits in the short form of a container's ID.
const shortID = 12

// Key returns the key of the stream of a container that was started at that time. Each start of a container has a stream of
// its own, so that offsets stay unambiguous. The keys of one container ascend with time.
func Key(container string, started time.Time) string {
	return KeyPrefix(container) + "-" + strconv.FormatInt(started.UnixNano(), 36)
}

// KeyPrefix returns the common part of the keys of a container's streams, before the last dash.
func KeyPrefix(container string) string {
	id := clean(container)
	if id == "" {
		return "unknown"
	}
	return id[:min(len(id), shortID)]
}

// clean replaces each character that a key cannot contain by an underscore.
func clean(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, name)
}

// Format is the version of a stream's directory: its manifest, segments and gaps. It is incremented if one of them changes so
// that an older Remora would misread it, but not for a member that may be ignored. A manifest without a format has version 1.
const Format = 1

// NewerError is the error of a manifest that a newer Remora has written. The stream is kept until that version runs again.
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

// Container is what a logging binary knows about its container. It holds declarations and identity, never the rest of the
// environment, which may hold secrets.
type Container struct {
	// Format is the version of the stream's directory; 0 stands for 1.
	Format int `json:"format"`
	// Runtime is "containerd".
	Runtime   string    `json:"runtime"`
	Namespace string    `json:"namespace"`
	ID        string    `json:"id"`
	Started   time.Time `json:"started"`
	// Env holds the variables that may be declarations, as NAME=VALUE. Labels holds the annotations that may be declarations
	// or that identify the container.
	Env    []string          `json:"env,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	// Image is the reference that the container was started from. A logging binary does not know it; see Known.
	Image string `json:"image,omitempty"`
	// Mounts maps paths in the container to paths on the host.
	Mounts map[string]string `json:"mounts,omitempty"`
	// Options are the log options among the parameters of the logging URI.
	Options map[string]string `json:"options,omitempty"`
	// Problems describes what could not be read.
	Problems []string `json:"problems,omitempty"`
	// Damaged is set in the stand-in for a manifest that cannot be read.
	Damaged bool `json:"-"`
}

// maxName is the number of characters of a namespace or an ID in a key. A checksum distinguishes longer ones.
const maxName = 40

// Key returns the key of the container's stream. Each start of a container has a stream of its own.
func (c *Container) Key() string {
	namespace, id := clean(c.Namespace), clean(c.ID)
	sum := crc32.ChecksumIEEE([]byte(c.Namespace + "/" + c.ID))
	return fmt.Sprintf("%s_%s_%08x-%s", namespace[:min(len(namespace), maxName)], id[:min(len(id), maxName)], sum,
		strconv.FormatInt(c.Started.UnixNano(), 36))
}

// Encode returns the manifest in its stored form.
func (c *Container) Encode() ([]byte, error) {
	current := *c
	current.Format = Format
	return json.Marshal(current)
}

// DecodeContainer decodes what Container.Encode has written. It returns a *NewerError for a format of a later version.
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

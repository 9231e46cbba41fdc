// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Known is what containerd knows about a container beyond its bundle. The agent stores it beside the container's log, so that
// it outlives the container and the agent. Like a manifest, it holds declarations and identity only.
type Known struct {
	Image  string            `json:"image,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	// Env holds the variables that rules refer to, as NAME=VALUE.
	Env []string `json:"env,omitempty"`
}

const (
	// knownName is the name of its file in the log's directory.
	knownName = "container.json"
	// maxKnown bounds that file in bytes.
	maxKnown = 1 << 20
)

// errKnown is the error of a damaged file.
var errKnown = errors.New("its checksum does not match")

// Add adds k to a container. Labels in k override the container's; its variables precede them. k may be nil.
func (c *Container) Add(k *Known) {
	if k == nil {
		return
	}
	c.Image = k.Image
	labels := maps.Clone(c.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, k.Labels)
	c.Labels, c.Env = labels, slices.Concat(k.Env, c.Env)
}

// Store writes k to the directory of a log: a line with the checksum, and JSON. It syncs the file before it renames it into
// place.
func (k *Known) Store(dir string) error {
	body, err := json.Marshal(k)
	if err != nil {
		return err
	}
	content := fmt.Appendf(nil, "%08x\n%s", crc32.ChecksumIEEE(body), body)
	if len(content) > maxKnown {
		return fmt.Errorf("labels of %d bytes are more than %d", len(content), maxKnown)
	}
	path := filepath.Join(dir, knownName)
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		os.Remove(path + ".new") // if that fails, the next attempt overwrites it
	}
	return err
}

// ReadKnown reads what Store has written to the directory of a log.
func ReadKnown(dir string) (*Known, error) {
	path := filepath.Join(dir, knownName)
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxKnown+1))
	if err != nil {
		return nil, err
	}
	sum, body, _ := bytes.Cut(content, []byte("\n"))
	if len(content) > maxKnown || string(sum) != fmt.Sprintf("%08x", crc32.ChecksumIEEE(body)) {
		return nil, fmt.Errorf("%s: %w", path, errKnown)
	}
	k := &Known{}
	if err := json.Unmarshal(body, k); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

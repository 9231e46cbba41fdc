// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/tail/find"
)

// filebeatDir is where log-pilot's manifests keep Filebeat's registry.
var filebeatDir = "/var/lib/filebeat"

const (
	// takeoverTime is how long after the agent's first start the registry is used. Files that Filebeat has read are found within
	// seconds; later, an inode in the registry may have been reused by another file.
	takeoverTime = 5 * time.Minute
	// maxRegistry bounds how many bytes of the registry are read. One that was never cleaned has some 100 MiB.
	maxRegistry = 512 << 20
)

// registry holds the offsets up to which Filebeat has delivered files, by inode.
type registry struct {
	offsets map[find.Inode]int64
	until   time.Time
}

// takeOver reads Filebeat's registry in dir (filebeat/input/file/state.go of 6.x, one JSON array) at the first start of the
// agent, that is, if stateDir holds no checkpoints. It returns nil if there is nothing to take over.
func takeOver(dir, stateDir string, now time.Time, log *slog.Logger) *registry {
	if _, err := os.Stat(filepath.Join(stateDir, "checkpoints.db")); err == nil {
		return nil
	}
	r, err := readRegistry(filepath.Join(dir, "registry"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		notice.RegistryNotTaken.Log(log, "error", err)
		return nil
	}
	r.until = now.Add(takeoverTime)
	log.Info("taking over from Filebeat", "registry", filepath.Join(dir, "registry"), "files", len(r.offsets))
	return r
}

func readRegistry(path string) (*registry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	r := &registry{offsets: map[find.Inode]int64{}}
	decoder := json.NewDecoder(io.LimitReader(f, maxRegistry))
	if token, err := decoder.Token(); err != nil || token != json.Delim('[') {
		return nil, fmt.Errorf("%s is no registry of Filebeat 6: %w", path, errors.Join(err, errors.New("it holds no array")))
	}
	for decoder.More() {
		var state struct {
			Offset      int64
			FileStateOS struct{ Inode, Device uint64 }
		}
		if err := decoder.Decode(&state); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if state.FileStateOS.Inode != 0 && state.Offset > 0 {
			id := find.Inode{Dev: state.FileStateOS.Device, Ino: state.FileStateOS.Inode}
			r.offsets[id] = max(r.offsets[id], state.Offset)
		}
	}
	return r, nil
}

// delivered implements tail.Config.Delivered. A nil registry has delivered nothing.
func (r *registry) delivered(id find.Inode) int64 {
	if r == nil || time.Now().After(r.until) {
		return 0
	}
	return r.offsets[id]
}

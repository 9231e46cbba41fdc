// SPDX-License-Identifier: Apache-2.0

// Package installed finds the collectors that the benchmarks compare Remora with.
package installed

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Find returns the path of a peer's binary; empty if it is not installed. It searches PEERS, a list of paths separated by
// spaces or commas, the directory of `make bench-peers`, and PATH.
func Find(name string) string {
	for path := range strings.FieldsFuncSeq(os.Getenv("PEERS"), func(r rune) bool { return r == ' ' || r == ',' }) {
		if filepath.Base(path) == name {
			return path
		}
	}
	if cache, err := os.UserCacheDir(); err == nil {
		if path := filepath.Join(cache, "remora", "peers", name); exists(path) {
			return path
		}
	}
	path, _ := exec.LookPath(name)
	return path
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

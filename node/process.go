// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// process is a container's first process, whose root directory is held open. File systems that have no path on the host,
// such as a tmpfs or a root that is not an overlay, are read through it. It is open only while the container runs, so that
// it keeps nothing from being unmounted.
type process struct {
	number int
	root   *os.File
}

// enter opens the root of the container's first process unless it is open. path is the path to open it by, and shown the one
// to show. Both are empty if the container does not run or its root cannot be opened.
func (s *subject) enter(h host, v *view) (path, shown string) {
	if s.process != nil && (!v.Running || s.process.number != v.Files.Process) {
		s.leave()
	}
	if s.process == nil {
		s.process = openProcess(h, v)
	}
	if s.process == nil {
		return "", ""
	}
	return fmt.Sprintf("/proc/self/fd/%d", s.process.root.Fd()), fmt.Sprintf("/proc/%d/root", s.process.number)
}

// closeAfter is how long a root stays open after the tailer was told of another one. Until then the tailer may search the
// old one by its descriptor number, which must not be reused meanwhile.
const closeAfter = 30 * time.Second

// leave closes the root that enter has opened, after closeAfter.
func (s *subject) leave() {
	if p := s.process; p != nil {
		time.AfterFunc(closeAfter, func() { _ = p.root.Close() }) // opened for reading
		s.process = nil
	}
}

// openProcess opens the root before it checks whose process it is. If it checked first, the process could end and its number
// be reused before the root is opened.
func openProcess(h host, v *view) *process {
	if v.Files.Process <= 0 || !v.Running {
		return nil
	}
	dir := filepath.Join(h.proc(), strconv.Itoa(v.Files.Process))
	root, err := os.OpenFile(filepath.Join(dir, "root"), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil
	}
	groups, err := os.ReadFile(filepath.Join(dir, "cgroup"))
	if err != nil || !strings.Contains(string(groups), v.BareID()) {
		_ = root.Close()
		return nil
	}
	return &process{v.Files.Process, root}
}

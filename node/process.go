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

// process is a container's first process, whose root is held open: what has no other place on the machine, a tmpfs or a root
// that is no overlay, is read through it. It is open only while the container runs, so that nothing is kept from ending.
type process struct {
	number int
	root   *os.File
}

// enter opens the root of the container's first process, or answers with the one that is open. path is how it is opened,
// shown how it is called; both are empty where the container does not run or can't be entered.
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

// closeAfter is how long a root stays open after the tailer was told of another: until then it may search the old one, by
// the number of a descriptor, which must not stand for something else by then.
const closeAfter = 30 * time.Second

// leave closes what enter has opened.
func (s *subject) leave() {
	if p := s.process; p != nil {
		time.AfterFunc(closeAfter, func() { _ = p.root.Close() }) // opened for reading
		s.process = nil
	}
}

// openProcess opens the root before it checks the process: between a check and an opening, the process could end and its
// number be given to another one.
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

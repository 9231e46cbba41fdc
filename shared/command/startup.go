// SPDX-License-Identifier: Apache-2.0

package command

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// startup is the time after which a process has finished what it does only at its start.
const startup = 10 * time.Second

// forgetStartup unmaps the program's own pages after startup. Most were needed only by the start: package initialisers, the
// command line, reflection over settings. A page that is still needed is mapped again from the page cache by a fault of at
// most a microsecond. stop cancels it.
func forgetStartup(log *slog.Logger) (stop func() bool) {
	return time.AfterFunc(startup, func() {
		if err := unmapProgram(); err != nil {
			log.Debug("the program's pages stay mapped", "error", err)
		}
	}).Stop
}

func unmapProgram() error {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return err
	}
	var failed []error
	for _, m := range unwritten(string(smaps), program) {
		// When the kernel unmaps a used page, it marks the page as active unless it is cold. Active pages count towards what
		// Kubernetes calls the working set.
		for _, advice := range []uintptr{unix.MADV_COLD, unix.MADV_DONTNEED} {
			if _, _, code := unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, advice); code != 0 {
				failed = append(failed, fmt.Errorf("madvise: %w", code))
			}
		}
	}
	return errors.Join(failed...)
}

// mapping is the range of addresses [from, to).
type mapping struct{ from, to uintptr }

// unwritten returns the read-only mappings of file in smaps (proc_pid_smaps(5)) that were never written to. A page that a
// debugger or relocation has written to is anonymous and would be lost.
func unwritten(smaps, file string) (found []mapping) {
	var m mapping
	candidate := false
	for line := range strings.Lines(smaps) {
		line = strings.TrimSuffix(line, "\n")
		var from, to uintptr
		var mode string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); n == 3 {
			m = mapping{from, to}
			candidate = strings.HasPrefix(mode, "r-") && strings.HasSuffix(line, " "+file)
		} else if size, ok := strings.CutPrefix(line, "Anonymous:"); ok && candidate && strings.TrimSpace(size) == "0 kB" {
			found = append(found, m)
		}
	}
	return found
}

// SPDX-License-Identifier: Apache-2.0

// Package statedir makes sure that one process alone uses a state directory.
package statedir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const lockName = "lock"

// InUseError is the error of Lock for a directory that another process uses.
type InUseError struct {
	Dir string
	// PID is the other process as it knows itself, 0 where that is not known. In another container it has another number
	// here.
	PID int
}

func (e *InUseError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("%s is in use by another process", e.Dir)
	}
	return fmt.Sprintf("%s is in use by process %d", e.Dir, e.PID)
}

// Lock is a locked state directory.
type Lock struct{ file *os.File }

// Acquire creates dir if it does not exist, and locks it for this process until Release or the process's end, however it
// ends. It does not wait: a directory that is locked already is an *InUseError.
func Acquire(dir string) (*Lock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &InUseError{dir, holder(f)}
		}
		return nil, fmt.Errorf("%s: can't be locked: %w", f.Name(), err)
	}
	// The number is for people. A disk that is full does not keep the lock from working.
	pid := strconv.Itoa(os.Getpid()) + "\n"
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(pid), 0)
	}
	return &Lock{f}, nil
}

// holder reads who has the lock; 0 where that can't be told.
func holder(f *os.File) int {
	b := make([]byte, 20)
	n, _ := f.ReadAt(b, 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}

// Release unlocks the directory. The lock file stays: removing it would let two processes lock two files of one name.
func (l *Lock) Release() error { return l.file.Close() }

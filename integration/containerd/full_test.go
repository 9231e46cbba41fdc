// SPDX-License-Identifier: Apache-2.0

package containerd_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/verify"
)

// Others fill the file system of the spool while a container writes, and make room again. The container is not held up, and
// each of its lines arrives or is counted as lost. One that lives while the file system is full starts, runs and ends, and is
// accounted for as well; one that starts afterwards loses nothing.
func TestFullFileSystem(t *testing.T) {
	m := newMachine(t)
	need(t, os.Mkdir(m.spool(), 0o700))
	need(t, syscall.Mount("tmpfs", m.spool(), "tmpfs", 0, "size=16m,mode=0700"))
	t.Cleanup(func() { need(t, syscall.Unmount(m.spool(), syscall.MNT_DETACH)) })
	m.fillWhileContainersWrite()
}

// fillWhileContainersWrite is the test on the file system that is mounted at the spool.
func (m *machine) fillWhileContainersWrite() {
	t := m.t
	t.Helper()
	m.startAgent()
	const lines = 10_000
	m.run("during", "--lines", fmt.Sprint(lines), "--streams", "both", "--size", "190", "--rate", "4000", "--slowest", "/slowest")
	verify.Open(filepath.Join(m.dir, "out", "during.log")).Await(t, time.Minute, "during", "stdout", 100)
	stopFilling := m.keepFull()
	m.run("short", "--lines", fmt.Sprint(lines), "--streams", "both", "--size", "190")
	m.remove("short")
	time.Sleep(time.Second)
	stopFilling()
	m.remove("during")
	m.run("after", "--lines", "1000", "--streams", "both")
	m.remove("after")
	m.verify("after", 1000)
	m.accountedFor("during", lines)
	m.accountedFor("short", lines)
	if slowest := m.slowest("slowest"); slowest > time.Second {
		t.Errorf("the disk was full, and the container waited %v for one write", slowest)
	}
}

// slowest is the time of a container's slowest write, which the generator stored under that name before it ended.
func (m *machine) slowest(name string) time.Duration {
	m.t.Helper()
	text, err := os.ReadFile(filepath.Join(m.dir, "rootfs", name))
	need(m.t, err, "the container did not end by itself")
	ns := 0
	_, err = fmt.Sscan(string(text), &ns)
	need(m.t, err)
	m.t.Logf("the slowest write took %v", time.Duration(ns))
	return time.Duration(ns)
}

// accountedFor checks that each line of a container arrived or is counted as lost. A line at the edge of a gap may count on
// both sides.
func (m *machine) accountedFor(id string, lines int) {
	m.t.Helper()
	log := verify.Open(filepath.Join(m.dir, "out", id+".log"))
	arrived := 0
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		log.Read(m.t)
		arrived = log.Numbers(id, "stdout").Distinct + log.Numbers(id, "stderr").Distinct
		if arrived+int(log.Gap) >= 2*lines || time.Now().After(deadline) {
			break
		}
	}
	gaps := 0
	for _, r := range log.Others {
		if r.Remora == "gap" {
			gaps++
		}
	}
	m.t.Logf("%s: of %d lines %d arrived, and %d are counted as lost in %d gaps", id, 2*lines, arrived, log.Gap, gaps)
	if sum := arrived + int(log.Gap); log.Gap == 0 || sum < 2*lines || sum > 2*lines+2*gaps {
		m.t.Errorf("%s: of %d lines %d arrived, and %d are counted as lost in %d gaps", id, 2*lines, arrived, log.Gap, gaps)
	}
}

// keepFull fills the file system of the spool, and what is given back of it, until the function that it returns is called,
// which makes room again.
func (m *machine) keepFull() (stop func()) {
	m.t.Helper()
	name := filepath.Join(m.spool(), "ballast")
	need(m.t, fill(name))
	quit, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-quit:
				done <- nil
				return
			case <-time.After(10 * time.Millisecond):
			}
			if err := fill(name); err != nil {
				done <- err
				return
			}
		}
	}()
	return func() {
		m.t.Helper()
		close(quit)
		need(m.t, <-done)
		need(m.t, os.Remove(name))
	}
}

// fill writes to a file until its file system is full.
func fill(name string) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	f.Close()
	if errors.Is(err, syscall.ENOSPC) {
		return nil
	}
	return err
}

// mountExt4 mounts an ext4 of that size at the spool.
func (m *machine) mountExt4(size string) {
	m.t.Helper()
	image := filepath.Join(m.dir, "image")
	for _, command := range [][]string{{"truncate", "--size", size, image}, {"mkfs.ext4", "-q", image},
		{"mkdir", "-m", "0700", m.spool()}, {"mount", "-o", "loop", image, m.spool()}} {
		out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
		need(m.t, err, "%v: %s", command, out)
	}
	m.t.Cleanup(func() { need(m.t, syscall.Unmount(m.spool(), 0)) })
	need(m.t, os.Chmod(m.spool(), 0o700))
}

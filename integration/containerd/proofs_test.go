// SPDX-License-Identifier: Apache-2.0

package containerd_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/verify"
)

// Containers that write as fast as they can are killed and deleted: neither hangs, nothing is lost in between, and a
// neighbour notices nothing.
func TestKillAndDeleteUnderLoad(t *testing.T) {
	m := newMachine(t)
	m.startAgent()
	m.run("innocent", "--lines", "2000", "--streams", "both", "--rate", "500")
	const victims = 4
	for i := range victims {
		m.run(fmt.Sprintf("v%d", i), "--lines", "-1", "--streams", "both", "--rate", "5000", "--size", "190")
	}
	eventually(t, func() bool { return m.held() == victims+1 }, 10*time.Second)
	var all sync.WaitGroup
	for i := range victims {
		all.Go(func() {
			id := fmt.Sprintf("v%d", i)
			if out, err := m.command("tasks", "kill", "--signal", "SIGKILL", id).CombinedOutput(); err != nil {
				t.Errorf("ctr tasks kill %s: %v: %s", id, err, out)
			}
		})
	}
	all.Wait()
	for i := range victims {
		m.remove(fmt.Sprintf("v%d", i))
	}
	m.remove("innocent")
	m.verify("innocent", 2000)
	m.nothingLeft()
	for i := range victims {
		m.contiguous(fmt.Sprintf("v%d", i))
	}
}

// contiguous checks that all lines of a container up to the last one that arrived did so once and in order.
func (m *machine) contiguous(id string) {
	m.t.Helper()
	log := verify.Open(filepath.Join(m.dir, "out", id+".log"))
	log.Read(m.t)
	for _, stream := range []string{"stdout", "stderr"} {
		n := log.Numbers(id, stream)
		if n.Distinct == 0 || n.Missing(n.Distinct) != 0 || n.Twice != 0 || n.Disorder != 0 {
			m.t.Errorf("%s (%s): %d lines, missing %s, %d twice, %d out of order", id, stream, n.Distinct, n.Holes(n.Distinct), n.Twice, n.Disorder)
		}
	}
}

// The shim of a container is killed. containerd kills the container then; what it wrote until then arrives, its log ends,
// and a neighbour notices nothing.
func TestShimIsKilled(t *testing.T) {
	m := newMachine(t)
	m.startAgent()
	m.run("victim", "--lines", "-1", "--streams", "both", "--rate", "2000")
	m.run("innocent", "--lines", "2000", "--streams", "both", "--rate", "500")
	eventually(t, func() bool { return m.held() == 2 }, 10*time.Second)
	need(t, m.shimOf("victim").Kill())
	m.remove("innocent")
	m.verify("innocent", 2000)
	m.nothingLeft()
	m.contiguous("victim")
}

// All that runs is killed at once, as by a loss of power that leaves the page cache: nothing that was stored is lost or comes
// twice, the log ends with a gap of unknown size, and the machine serves new containers.
func TestMachineStartsAgain(t *testing.T) {
	m := newMachine(t)
	m.startAgent()
	m.run("before", "--lines", "-1", "--streams", "both", "--rate", "2000")
	eventually(t, func() bool { return m.held() == 1 }, 10*time.Second)
	verify.Open(filepath.Join(m.dir, "out", "before.log")).Await(t, 10*time.Second, "before", "stdout", 1000)
	victims := []*os.Process{m.loggerOf("before"), m.shimOf("before"), m.containerd.Process}
	need(t, m.agent.Process.Kill()) // first, and gone, or it replaces the logger, which the container outlives
	_ = m.agent.Wait()
	for _, p := range victims {
		need(t, p.Kill())
	}
	_ = m.containerd.Wait()
	m.startContainerd() // which kills what is left of containers without a shim
	m.startAgent()
	m.run("after", "--lines", "1000", "--streams", "both")
	m.remove("after")
	m.verify("after", 1000)
	log := verify.Open(filepath.Join(m.dir, "out", "before.log"))
	gap := log.AwaitOther(t, 20*time.Second, func(r *verify.Record) bool { return r.Remora == "gap" })
	if gap.Records > 0 {
		t.Errorf("the gap counts %d lines, and nobody can know them", gap.Records)
	}
	m.nothingLeft()
	m.contiguous("before")
}

// shimOf finds the shim of a container of this test's own containerd.
func (m *machine) shimOf(id string) *os.Process {
	m.t.Helper()
	found, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range found {
		text, err := os.ReadFile(path)
		args := strings.Split(string(text), "\x00")
		if err != nil || !strings.Contains(filepath.Base(args[0]), "containerd-shim") || !follows(args, "-id", id) ||
			!follows(args, "-address", m.socket()) {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(path, "/proc/%d/", &pid); err != nil || pid <= 1 {
			continue
		}
		process, err := os.FindProcess(pid)
		need(m.t, err)
		return process
	}
	m.t.Fatalf("%s has no shim", id)
	return nil
}

func follows(args []string, flag, value string) bool {
	for i := range args[:max(len(args)-1, 0)] {
		if args[i] == flag && args[i+1] == value {
			return true
		}
	}
	return false
}

// SPDX-License-Identifier: Apache-2.0

//go:build bench

package containerd_test

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
)

const (
	costLines = 1_000_000
	costSize  = 190 // bytes, without the newline
)

// cost is what a container of a million lines came to.
type cost struct {
	wall time.Duration // from its first write to the end of its last
	cpu  time.Duration // of the container, its shim, and whoever logs
}

// way is one way of logging.
type way struct {
	name string
	run  func(id string) cost
}

// TestAMillionLines prints what logging costs by each way, beside containerd's own file. It judges nothing but that all lines
// are there: machines are noisy. ROUNDS= is how often each way is measured, in turn.
func TestAMillionLines(t *testing.T) {
	rounds := 7
	if text := os.Getenv("ROUNDS"); text != "" {
		n, err := strconv.Atoi(text)
		need(t, err)
		rounds = n
	}
	need(t, syscall.Setpriority(syscall.PRIO_PGRP, 0, -20)) // of all that is started here, so that neighbours disturb less
	m := newMachine(t)
	ways := []way{{"file://", m.costOfFile}, {"remora-logger", m.costOfLogger}}
	if os.Getenv("DOCKER_HOST") != "" { // hack/engine runs this
		e := engine.New(t)
		p := e.NewPlugin(t, "LOGGING_OUTPUT=null")
		ways = append(ways, way{"json-file", func(string) cost { return m.costOfEngine(e, nil, "json-file") }},
			way{"plugin", func(string) cost { return m.costOfEngine(e, p, p.Name) }})
	}
	all := make([][]cost, len(ways))
	for round := range rounds {
		for i := range ways {
			n := (i + round) % len(ways)
			all[n] = append(all[n], ways[n].run(fmt.Sprintf("w%dr%d", n, round)))
		}
	}
	wall, cpu := func(c cost) time.Duration { return c.wall }, func(c cost) time.Duration { return c.cpu }
	for i, way := range ways {
		t.Logf("%-14s wall %.3f s (%.2f x file://; least %.3f s, %.2f x), CPU %.2f s (%.2f x; least %.2f s, %.2f x)", way.name,
			middle(all[i], wall), middle(all[i], wall)/middle(all[0], wall), least(all[i], wall), least(all[i], wall)/least(all[0], wall),
			middle(all[i], cpu), middle(all[i], cpu)/middle(all[0], cpu), least(all[i], cpu), least(all[i], cpu)/least(all[0], cpu))
	}
}

func middle(all []cost, of func(cost) time.Duration) float64 {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b cost) int { return cmp.Compare(of(a), of(b)) })
	return of(all[len(all)/2]).Seconds()
}

func least(all []cost, of func(cost) time.Duration) float64 {
	return of(slices.MinFunc(all, func(a, b cost) int { return cmp.Compare(of(a), of(b)) })).Seconds()
}

func (m *machine) costOfFile(id string) cost {
	m.t.Helper()
	file := filepath.Join(m.dir, id+".log")
	c := m.costOf(id, "file://"+file, func() []int { return nil }, func() int64 {
		st, err := os.Stat(file)
		need(m.t, err)
		return st.Size()
	})
	need(m.t, os.Remove(file))
	return c
}

func (m *machine) costOfLogger(id string) cost {
	m.t.Helper()
	segments := func() (all []string) {
		all, err := filepath.Glob(filepath.Join(m.spool(), "*_"+id+"_*", "*.seg"))
		need(m.t, err)
		return all
	}
	c := m.costOf(id, m.uri(), func() []int { return []int{m.loggerOf(id).Pid} }, func() (size int64) {
		for _, name := range segments() {
			st, err := os.Stat(name)
			need(m.t, err)
			size += st.Size()
		}
		return size
	})
	need(m.t, os.RemoveAll(m.spool()))
	return c
}

// costOf runs a container with that log URI. more are processes that log beside the shim, stored is how many bytes are there.
func (m *machine) costOf(id, uri string, more func() []int, stored func() int64) (c cost) {
	m.t.Helper()
	took := "took-" + id
	m.ctr(append([]string{"run", "--detach", "--log-uri", uri, "--rootfs", filepath.Join(m.dir, "rootfs"), id, "/generator"},
		generate("/"+took)...)...)
	c.wall = m.took(filepath.Join(m.dir, "rootfs", took))
	eventually(m.t, func() bool { return stored() == costLines*(costSize+1) }, 20*time.Second, "%s: %d bytes are there", id, stored())
	out, err := m.command("tasks", "ls").Output()
	need(m.t, err)
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == id {
			pid, err := strconv.Atoi(f[1])
			need(m.t, err)
			for _, pid := range append(more(), pid, parent(m.t, pid)) {
				c.cpu += cpuOf(m.t, pid)
			}
		}
	}
	m.ctr("tasks", "kill", "--signal", "SIGKILL", id)
	m.remove(id)
	return c
}

func generate(took string) []string {
	return []string{"--lines", fmt.Sprint(costLines), "--size", fmt.Sprint(costSize), "--took", took, "--hold"}
}

// costOfEngine is costOf for a Docker engine, whose daemon and plugin log.
func (m *machine) costOfEngine(e *engine.Engine, p *engine.Plugin, driver string) (c cost) {
	m.t.Helper()
	dir := m.t.TempDir()
	options := []string{"--volume", dir + ":/took"}
	if p != nil {
		options = append(options, "--log-opt", "cache-disabled=true")
	}
	loggers := func() time.Duration {
		sum := cpuOf(m.t, enginePID(m.t))
		if p != nil {
			sum += p.CPU(m.t)
		}
		return sum
	}
	before := loggers()
	box := e.Run(m.t, driver, options, generate("/took/it")...)
	c.wall = m.took(filepath.Join(dir, "it"))
	time.Sleep(2 * time.Second) // so that what follows the container's last write counts
	pid, err := strconv.Atoi(e.Docker(m.t, "inspect", "-f", "{{.State.Pid}}", box.ID))
	need(m.t, err)
	c.cpu = loggers() - before + cpuOf(m.t, pid) + cpuOf(m.t, parent(m.t, pid))
	e.Docker(m.t, "rm", "-f", box.ID)
	return c
}

// took is what the generator wrote to a file at its end.
func (m *machine) took(file string) (d time.Duration) {
	m.t.Helper()
	eventually(m.t, func() bool {
		text, _ := os.ReadFile(file)
		ns, err := strconv.ParseInt(string(text), 10, 64)
		d = time.Duration(ns)
		return err == nil
	}, time.Minute, "the container has not written all")
	return d
}

// cpuOf is the processor time of a process so far, in fields 14 and 15 of proc_pid_stat(5), in ticks of 10 ms.
func cpuOf(t *testing.T, pid int) time.Duration {
	t.Helper()
	fields := statOf(t, pid)
	user, err := strconv.Atoi(fields[11])
	need(t, err)
	system, err := strconv.Atoi(fields[12])
	need(t, err)
	return time.Duration(user+system) * 10 * time.Millisecond
}

func parent(t *testing.T, pid int) int {
	t.Helper()
	ppid, err := strconv.Atoi(statOf(t, pid)[1])
	need(t, err)
	return ppid
}

// statOf are the fields of proc_pid_stat(5) from the third on.
func statOf(t *testing.T, pid int) []string {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	need(t, err)
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.Fields(rest)
}

// enginePID is the engine that hack/engine started: it wrote its number beside its socket.
func enginePID(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(filepath.Dir(strings.TrimPrefix(os.Getenv("DOCKER_HOST"), "unix://")), "docker.pid"))
	need(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	need(t, err)
	return pid
}

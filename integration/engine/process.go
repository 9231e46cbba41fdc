// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// Memory is the resident memory of the plugin's process, in bytes.
func (p *Plugin) Memory(t testing.TB) int64 {
	t.Helper()
	var size, resident int64
	if _, err := fmt.Sscan(p.proc(t, "statm"), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * int64(os.Getpagesize())
}

// CPU is how much processor time the plugin's process has used.
func (p *Plugin) CPU(t testing.TB) time.Duration {
	t.Helper()
	// Fields 14 and 15 of proc_pid_stat(5), in ticks of 10 ms; the second field is the name, in parentheses.
	_, rest, _ := strings.Cut(p.proc(t, "stat"), ") ")
	fields := strings.Fields(rest)
	var user, system int64
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// Descriptors is how many files the plugin's process has open.
func (p *Plugin) Descriptors(t testing.TB) int { t.Helper(); return p.entries(t, "fd") }

// Threads is how many threads it has.
func (p *Plugin) Threads(t testing.TB) int { t.Helper(); return p.entries(t, "task") }

func (p *Plugin) entries(t testing.TB, dir string) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/%s", p.PID(t), dir))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func (p *Plugin) proc(t testing.TB, name string) string {
	t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.PID(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

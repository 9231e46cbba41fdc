// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// memory is what the process's status calls field, such as VmHWM (the most that was ever resident) or VmRSS, in bytes.
func (s *process) memory(t *testing.T, field string) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), field+":")
	var kB int64
	if _, err := fmt.Sscan(rest, &kB); err != nil {
		t.Fatalf("%s: %v", field, err)
	}
	return kB << 10
}

// cpu is how much processor time the threads that the process has have used.
func (s *process) cpu(t *testing.T) (all time.Duration) {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", s.cmd.Process.Pid))
	if err != nil || len(threads) == 0 {
		t.Fatal("the process has no threads: ", err)
	}
	for _, path := range threads {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var ran time.Duration // ns on a processor: sched-stats of the kernel's documentation
		if _, err := fmt.Sscan(string(text), &ran); err != nil {
			t.Fatal(err)
		}
		all += ran
	}
	return all
}

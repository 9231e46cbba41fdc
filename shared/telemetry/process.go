// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"bytes"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// process writes the metrics of the process. It leaves out those that the system does not provide.
func (t walk) process() {
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) == nil {
		seconds := func(v unix.Timeval) float64 { return float64(v.Nano()) / 1e9 }
		t.write(&processCPU, seconds(usage.Utime)+seconds(usage.Stime))
	}
	if pages, ok := field("/proc/self/statm", 1); ok {
		t.write(&processMemory, float64(pages)*float64(os.Getpagesize()))
	}
	if open, err := os.ReadDir("/proc/self/fd"); err == nil {
		t.write(&processOpen, float64(len(open)))
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		t.write(&processMaxOpen, float64(limit.Cur))
	}
	if at := startTime(); at > 0 {
		t.write(&processStarted, at)
	}
}

// runtime writes the metrics of Go's runtime that can be read without stopping the world.
func (t walk) runtime() {
	samples := []metrics.Sample{{Name: "/sched/goroutines:goroutines"}, {Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/total:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(samples)
	for i, d := range []*Definition{&goGoroutines, &goHeapLive, &goMemory, &goCycles} {
		if samples[i].Value.Kind() == metrics.KindUint64 {
			t.write(d, float64(samples[i].Value.Uint64()))
		}
	}
	t.write(&goInfo, 1, runtime.Version())
}

// startTime returns when the process started, in seconds since 1970; 0 if that is not known.
var startTime = sync.OnceValue(func() float64 {
	const perSecond, starttime = 100, 21 // proc(5): USER_HZ, and the index of the field
	ticks, ok := field("/proc/self/stat", starttime)
	var now, boot unix.Timespec
	if !ok || unix.ClockGettime(unix.CLOCK_REALTIME, &now) != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil {
		return 0
	}
	return float64(now.Nano()-boot.Nano())/1e9 + float64(ticks)/perSecond
})

// field returns a field of a file in /proc, counted from 0. A name in parentheses is one field.
func field(path string, at int) (uint64, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	if i := bytes.LastIndexByte(text, ')'); i >= 0 {
		text, at = text[i+1:], at-2
	}
	fields := bytes.Fields(text)
	if at >= len(fields) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(fields[at]), 10, 64)
	return n, err == nil
}

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// job is what each collector has to do: read a file, parse it as the kind says or not, and deliver it.
type job struct {
	file, kind string
	lines      int
	bytes      int64
	parse      bool
	codec      string // of bodies: empty, gzip or zstd
	kafka      bool   // deliver to Kafka instead of Elasticsearch
	port       int
	dir        string // for what the collector keeps; new for each run
	bins       string
}

func (j *job) url() string { return fmt.Sprintf("http://127.0.0.1:%d", j.port) }

// collector is something that does the job.
type collector struct {
	name string
	// command prepares what the collector needs in j.dir and returns how to start it; an error means that it can't do
	// this job.
	command func(j *job) (*exec.Cmd, error)
}

// result is what a run cost.
type result struct {
	cpu, wall time.Duration
	peak      int64 // bytes resident
	again     int   // lines that came more than once
}

// run does the job once, with a server of its own, and fails unless each line has arrived.
func run(c collector, j job, limit time.Duration) (r result, err error) {
	if j.dir, err = os.MkdirTemp(j.bins, "run-"); err != nil {
		return r, err
	}
	defer os.RemoveAll(j.dir)
	start := startServer
	if j.kafka {
		start = startBroker
	}
	srv, err := start(&j)
	if err != nil {
		return r, err
	}
	defer func() { _ = srv.Process.Kill(); _ = srv.Wait() }()
	cmd, err := c.command(&j)
	if err != nil {
		return r, err
	}
	log, err := os.Create(filepath.Join(j.dir, "log"))
	if err != nil {
		return r, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return r, err
	}
	wait := arrived
	if j.kafka {
		wait = arrivedInKafka
	}
	s, waitErr := wait(&j, limit)
	r.peak = peak(cmd.Process.Pid)
	_ = cmd.Process.Signal(syscall.SIGTERM) // the bare loop has ended by itself
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	select {
	case <-exited:
	case <-time.After(15 * time.Second):
		_ = cmd.Process.Kill()
		<-exited
	}
	if waitErr != nil {
		tail, _ := os.ReadFile(log.Name())
		return r, fmt.Errorf("%s: %w; it said: %.2000s", c.name, waitErr, tail)
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	r.cpu = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	r.peak = max(r.peak, usage.Maxrss<<10)
	r.wall, r.again = s.Last.Sub(begun), s.Again
	return r, nil
}

// startServer starts this program as the server, and returns when it answers.
func startServer(j *job) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "serve", fmt.Sprintf("--address=127.0.0.1:%d", j.port), fmt.Sprintf("--lines=%d", j.lines))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for range 200 {
		if resp, err := http.Get(j.url() + "/stats"); err == nil {
			return cmd, resp.Body.Close()
		}
		time.Sleep(20 * time.Millisecond)
	}
	_ = cmd.Process.Kill()
	return nil, fmt.Errorf("the server on %s does not answer", j.url())
}

// arrived waits until the server has had each of the lines.
func arrived(j *job, limit time.Duration) (s stats, err error) {
	deadline := time.Now().Add(limit)
	for time.Now().Before(deadline) {
		time.Sleep(50 * time.Millisecond)
		resp, err := http.Get(j.url() + "/stats")
		if err != nil {
			return s, err
		}
		err = json.NewDecoder(resp.Body).Decode(&s)
		_ = resp.Body.Close()
		if err != nil {
			return s, err
		}
		if s.Lines >= j.lines {
			return s, nil
		}
	}
	return s, fmt.Errorf("only %d of %d lines arrived within %v (%d without a number)", s.Lines, j.lines, limit, s.Odd)
}

// peak is the most memory that the process had resident, if it still lives.
func peak(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		var kb int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	return 0
}

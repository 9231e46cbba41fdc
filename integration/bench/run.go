// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// job is the task of each collector: read a file, parse it if parse is set, and deliver it.
type job struct {
	file, kind string
	lines      int
	bytes      int64
	parse      bool
	codec      string // of bodies: empty, gzip or zstd
	kafka      bool   // deliver to Kafka instead of Elasticsearch
	form       form   // how a container runtime stores the lines; none if only the file itself is read
	outputs    bool   // with each of Remora's outputs, and no peer
	two        bool   // with one and with two outputs on one stream, and no peer
	servers    []job  // the job as each server sees it if there are two outputs; else empty
	wire       string // protocol that the server speaks besides HTTP, if it does
	root       string // root directory of the machine whose runtime stores the lines
	stored     string // path of the lines in that form
	written    int64  // bytes written by Remora in this round, for the loops
	port       int
	dir        string // for what the collector keeps; new for each run
	bins       string
}

func (j *job) wirePort() int { return j.port + wirePort }

func (j *job) url() string { return fmt.Sprintf("http://127.0.0.1:%d", j.port) }

// input returns the file for a collector that understands the runtime's format.
func (j *job) input() string { return cmp.Or(j.stored, j.file) }

// warm reads the input into the page cache, so that no run pays for reading it from disk: the first collector took 1.5 to 2.9
// times the CPU time of the next.
func (j *job) warm() error {
	files, err := filepath.Glob(j.file)
	if err != nil {
		return err
	}
	if j.stored != "" {
		files = append(files, j.stored)
	}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		_, err = io.Copy(struct{ io.Writer }{io.Discard}, f)
		_ = f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// result holds the cost of a run.
type result struct {
	cpu, wall time.Duration
	peak      int64 // bytes resident
	again     int   // lines that came more than once
	written   int64 // bytes, to sockets and the little that goes to files
}

// run does the job once, with its own server, and fails unless every line has arrived.
func run(c collector, j job, patience patience) (r result, err error) {
	if j.dir, err = os.MkdirTemp(j.bins, "run-"); err != nil {
		return r, err
	}
	defer os.RemoveAll(j.dir)
	if err := j.warm(); err != nil {
		return r, err
	}
	cmd, err := c.command(c.bin, &j)
	if err != nil {
		return r, err
	}
	servers := j.servers
	if len(servers) == 0 {
		servers = []job{j}
	}
	for i := range servers {
		srv, err := startFor(c, &servers[i])
		if err != nil {
			return r, err
		}
		defer func() { _ = srv.Process.Kill(); _ = srv.Wait() }()
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
	exited := make(chan struct{})
	ctx, cancel := context.WithTimeoutCause(context.Background(), patience.limit, fmt.Errorf("%w within %v", errUnfinished, patience.limit))
	defer cancel()
	ctx, failed := context.WithCancelCause(ctx)
	go func() {
		defer close(exited)
		if err := cmd.Wait(); err != nil { // the bare loop ends by itself, with success
			failed(fmt.Errorf("it ended: %w", err))
		}
	}()
	s, waitErr := arrivedAtAll(ctx, c, servers, patience.stall)
	r.peak, r.written = peak(cmd.Process.Pid), wrote(cmd.Process.Pid)
	_ = cmd.Process.Signal(syscall.SIGTERM) // if it hasn't ended
	select {
	case <-exited:
	case <-time.After(15 * time.Second):
		_ = cmd.Process.Kill()
		<-exited
	}
	if waitErr != nil {
		tail, _ := os.ReadFile(log.Name())
		return r, fmt.Errorf("%w; it said: %.2000s", waitErr, tail)
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	r.cpu = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	r.peak = max(r.peak, usage.Maxrss<<10)
	r.wall, r.again = s.Last.Sub(begun), s.Again
	return r, nil
}

// startFor starts the backend that the collector delivers to.
func startFor(c collector, j *job) (*exec.Cmd, error) {
	if j.kafka && c.name != kernelLoop {
		return startBroker(j)
	}
	return startServer(j)
}

// waitFor returns the function that waits until all that the collector has to deliver has arrived.
func waitFor(c collector, j *job) func(context.Context, *job, time.Duration) (stats, error) {
	switch {
	case c.name == kernelLoop:
		return arrivedBytes
	case c.name == kafkaLoop:
		return arrivedFromLoop
	case j.kafka:
		return arrivedInKafka
	}
	return arrived
}

// startServer starts this program as the server, and returns when it answers.
func startServer(j *job) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "serve", fmt.Sprintf("--address=127.0.0.1:%d", j.port), fmt.Sprintf("--lines=%d", j.lines), "--wire="+j.wire)
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

// patience bounds a run: its time, and the time without a new line.
type patience struct{ limit, stall time.Duration }

// errUnfinished means that not all lines arrived.
var errUnfinished = errors.New("did not finish")

// stats asks the server what it has received.
func (j *job) stats() (s stats, err error) {
	resp, err := http.Get(j.url() + "/stats")
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	err = json.NewDecoder(resp.Body).Decode(&s)
	return s, err
}

// arrived waits until the server has received each line, as long as ctx allows and new lines arrive.
func arrived(ctx context.Context, j *job, stall time.Duration) (s stats, err error) {
	begun := time.Now()
	for s.Lines < j.lines {
		time.Sleep(50 * time.Millisecond)
		if s, err = j.stats(); err != nil {
			return s, err
		}
		last := s.Last
		if last.Before(begun) {
			last = begun
		}
		switch {
		case s.Lines == j.lines:
		case ctx.Err() != nil:
			return s, fmt.Errorf("%w, after %d of %d lines (%d without a number)", context.Cause(ctx), s.Lines, j.lines, s.Odd)
		case time.Since(last) > stall:
			return s, fmt.Errorf("%w: no new line for %v, after %d of %d (%d without a number)", errUnfinished, stall, s.Lines, j.lines, s.Odd)
		}
	}
	return s, nil
}

// peak returns the peak resident memory of the process in bytes, if it is still running.
func peak(pid int) int64 { return proc(pid, "status", "VmHWM: %d kB") << 10 }

// wrote returns how many bytes the process has passed to write(2) and writev(2), if it is still running.
func wrote(pid int) int64 { return proc(pid, "io", "wchar: %d") }

// proc returns the number in a line of that format in a file about the process; 0 if there is none.
func proc(pid int, file, format string) (v int64) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file)) // without it there is no such line
	for line := range strings.SplitSeq(string(b), "\n") {
		if n, _ := fmt.Sscanf(line, format, &v); n == 1 {
			return v
		}
	}
	return 0
}

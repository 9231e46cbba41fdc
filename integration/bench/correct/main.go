// SPDX-License-Identifier: Apache-2.0

// Command correct runs the same scenarios with Remora and the installed peers, and counts the lines that each lost, reported
// or not, sent twice, or sent out of order. It needs root for one scenario, which mounts a small file system.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

var cli struct {
	Bins      string        `default:"bin" help:"Where remora-sidecar and remora-node lie."`
	Scratch   string        `help:"Directory for files; by default a new one in that of temporary files."`
	Only      []string      `help:"Names of collectors, where not all are wanted."`
	Scenarios []string      `help:"Beginnings of scenarios' names, where not all are wanted."`
	Outage    time.Duration `default:"60s" help:"How long the backend is down, and twice as long as the disk is full."`
	Stall     time.Duration `default:"1m" help:"After so long without a line that had not come before, what is missing is lost."`
	Limit     time.Duration `default:"5m" help:"After so long what is missing is lost in any case."`
	Port      int           `default:"19300" help:"Where the backend listens, on loopback; a collector may take the port behind it."`
	JSON      string        `help:"Write the results there, too."`
	Verbose   bool          `help:"Print what the collectors said where something is missing."`
}

func main() {
	runtime.LockOSThread() // see process.start
	kong.Parse(&cli, kong.Name("correct"), kong.Description("Counts what collectors lose, and send twice."))
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "correct:", err)
		os.Exit(1)
	}
}

func run() error {
	bins, err := filepath.Abs(cli.Bins)
	if err != nil {
		return err
	}
	if cli.Scratch == "" {
		if cli.Scratch, err = os.MkdirTemp("", "correct-"); err != nil {
			return err
		}
		defer os.RemoveAll(cli.Scratch)
	}
	var all []result
	versions := map[string]string{}
	fmt.Fprintf(os.Stderr, "%d processors, load %s\n", runtime.NumCPU(), load())
	for _, s := range scenarios {
		if len(cli.Scenarios) > 0 && !slices.ContainsFunc(cli.Scenarios, func(begin string) bool { return strings.HasPrefix(s.name(), begin) }) {
			continue
		}
		for _, p := range peers {
			bin := find(p, bins)
			if bin == "" || len(cli.Only) > 0 && !slices.Contains(cli.Only, p.name()) {
				continue
			}
			if versions[p.name()] == "" {
				versions[p.name()] = p.version(bin)
			}
			r := play(s, p, bin)
			fmt.Fprintln(os.Stderr, r.String())
			all = append(all, r)
		}
	}
	return report(os.Stdout, cli.JSON, all, versions)
}

// play runs one scenario with one collector.
func play(s scenario, p peer, bin string) (r result) {
	r = result{Scenario: s.name(), Collector: p.name(), Load: load()}
	dir, err := os.MkdirTemp(cli.Scratch, "day-")
	if err != nil {
		r.Failed = err.Error()
		return r
	}
	defer os.RemoveAll(dir)
	if err := live(s, p, bin, dir, &r); errors.Is(err, errNoPart) {
		r.NoPart = true
	} else if err != nil {
		r.Failed = err.Error()
	}
	return r
}

func live(s scenario, p peer, bin, dir string, r *result) error {
	srv := newServer(cli.Port)
	at := &place{root: filepath.Join(dir, "root"), dir: filepath.Join(dir, "conf"), state: filepath.Join(dir, "state"), port: cli.Port, server: srv.address}
	for _, d := range []string{at.root, at.dir, at.state} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	var err error
	if at.logs, err = newLogs(at.root, p.form()); err != nil {
		return err
	}
	switch s.(type) {
	case rotation, compression, inode:
		if p.form() == frames {
			return errNoPart // a FIFO is not a file
		}
	case copytruncate:
		if p.form() != plain {
			return errNoPart // no runtime truncates its files
		}
	case forbidden:
		if p.form() != plain {
			return errNoPart // all that a container writes goes to one index
		}
		at.evil = filepath.Join(at.logs.dir, "evil.log")
	case fullDisk:
		if err := syscall.Mount("tmpfs", at.state, "tmpfs", 0, "size=32m"); err != nil {
			return fmt.Errorf("a file system for the state: %w", err)
		}
		defer syscall.Unmount(at.state, syscall.MNT_DETACH)
	}
	if err := srv.up(); err != nil {
		return err
	}
	defer srv.down()
	c := &process{peer: p, bin: bin, place: at}
	if err := c.start(); err != nil {
		return err
	}
	defer c.stop()
	if a, ok := p.(attacher); ok {
		if err := a.attach(at); err != nil {
			return err
		}
	}
	time.Sleep(3 * time.Second) // all collectors have begun by then
	ctx, cancel := context.WithTimeout(context.Background(), cli.Limit)
	defer cancel()
	d := &day{server: srv, logs: at.logs, collector: c, place: at, outage: cli.Outage}
	if err := s.play(ctx, d); err != nil {
		return err
	}
	wrote := time.Now()
	wait, done := context.WithTimeout(context.Background(), cli.Limit)
	defer done()
	srv.await(wait, at.logs.written, cli.Stall)
	r.fill(srv, at.logs.written, wrote, c)
	return nil
}

// load returns the machine's load average over one minute.
func load() string {
	text, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

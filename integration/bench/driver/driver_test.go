// SPDX-License-Identifier: Apache-2.0

//go:build bench

// Package driver measures what logging through the plugin costs a container and the engine, beside json-file.
package driver

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/integration/engine"
)

const (
	lines  = 1_000_000
	size   = 190
	rounds = 5
)

// cost is what one container of a million lines came to.
type cost struct {
	wall      time.Duration // from its start to its end, by the engine's clock
	cpu       time.Duration // of engine and plugin
	delivered time.Duration // from its end until the backend had all of it; 0 where nobody asked
}

// TestAMillionLines prints the table. It fails only where lines are lost: machines are noisy, and whoever reads the table
// judges the ratios.
func TestAMillionLines(t *testing.T) {
	e := engine.New(t)
	server := serve(t)
	p := e.NewPlugin(t, "LOGGING_OUTPUT=null", "ELASTICSEARCH_HOSTS="+server, "ELASTICSEARCH_INDEX=bench")
	output := func(name string) {
		p.Disable(t, false)
		p.Set(t, "LOGGING_OUTPUT="+name)
		p.Enable(t)
	}
	all := map[string][]cost{}
	cases := []string{"json-file", "remora, null output", "remora, elasticsearch"}
	for range rounds { // in turn, so that what else the machine does hits all alike
		all[cases[0]] = append(all[cases[0]], run(t, e, nil, "json-file", ""))
		output("null")
		all[cases[1]] = append(all[cases[1]], run(t, e, p, p.Name, ""))
		output("elasticsearch")
		all[cases[2]] = append(all[cases[2]], run(t, e, p, p.Name, server))
	}
	base := all[cases[0]]
	for _, name := range cases {
		c := all[name]
		wall, cpu := median(c, func(c cost) time.Duration { return c.wall }), median(c, func(c cost) time.Duration { return c.cpu })
		fmt.Printf("%-22s wall %.2f s (%.2f x json-file), CPU of engine and plugin %.2f s (%.2f x), delivered %.2f s after the end\n",
			name, wall.Seconds(), wall.Seconds()/median(base, func(c cost) time.Duration { return c.wall }).Seconds(),
			cpu.Seconds(), cpu.Seconds()/median(base, func(c cost) time.Duration { return c.cpu }).Seconds(),
			median(c, func(c cost) time.Duration { return c.delivered }).Seconds())
	}
}

func run(t *testing.T, e *engine.Engine, p *engine.Plugin, driver, server string) (c cost) {
	t.Helper()
	var options []string
	if p != nil {
		options = []string{"--log-opt", "cache-disabled=true"}
	}
	had := arrived(t, server)
	before := used(t, e, p)
	box := e.Run(t, driver, options, "-lines", fmt.Sprint(lines), "-size", fmt.Sprint(size))
	box.Wait(t)
	ended := time.Now()
	if server != "" {
		engine.Eventually(t, time.Minute, func() (bool, string) {
			n := arrived(t, server) - had
			return n >= lines, fmt.Sprintf("%d of %d lines arrived", n, lines)
		})
		c.delivered = time.Since(ended)
	} else {
		time.Sleep(2 * time.Second) // so that what delivery costs is counted here
	}
	c.cpu = used(t, e, p) - before
	var from, to time.Time
	for i, stamp := range strings.Fields(e.Docker(t, "inspect", "-f", "{{.State.StartedAt}} {{.State.FinishedAt}}", box.ID)) {
		at, err := time.Parse(time.RFC3339Nano, stamp)
		if err != nil {
			t.Fatal(err)
		}
		*[]*time.Time{&from, &to}[i] = at
	}
	c.wall = to.Sub(from)
	e.Docker(t, "rm", "-f", box.ID)
	return c
}

// used is the processor time of the engine and the plugin so far.
func used(t *testing.T, e *engine.Engine, p *engine.Plugin) time.Duration {
	t.Helper()
	sum := cpu(t, enginePID(t))
	if p != nil {
		sum += p.CPU(t)
	}
	return sum
}

// enginePID is the process that listens on the engine's socket (unix(7), SO_PEERCRED).
func enginePID(t *testing.T) int {
	t.Helper()
	path := strings.TrimPrefix(cmp.Or(os.Getenv("DOCKER_HOST"), "unix:///var/run/docker.sock"), "unix://")
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var peer *unix.Ucred
	if err := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return int(peer.Pid)
}

// cpu is fields 14 and 15 of proc_pid_stat(5), in ticks of 10 ms.
func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	var user, system int64
	fields := strings.Fields(rest)
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// serve starts the discarding server, which make bench has built, and returns its address.
func serve(t *testing.T) string {
	t.Helper()
	address := engine.FreePort(t)
	cmd := exec.Command(filepath.Join(engine.Root(t), "bin", "bench"), "serve", "--address="+address, "--lines=1")
	engine.Start(t, cmd)
	engine.Eventually(t, 10*time.Second, func() (bool, string) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false, err.Error()
		}
		return conn.Close() == nil, ""
	})
	return "http://" + address
}

// arrived is how many documents the server has had; the generator's lines carry no number that it knows.
func arrived(t *testing.T, server string) int {
	t.Helper()
	if server == "" {
		return 0
	}
	resp, err := http.Get(server + "/stats")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var s struct{ Odd int }
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s.Odd
}

func median(all []cost, of func(cost) time.Duration) time.Duration {
	var values []time.Duration
	for _, c := range all {
		values = append(values, of(c))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

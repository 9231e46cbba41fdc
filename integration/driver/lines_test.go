// SPDX-License-Identifier: Apache-2.0

// Package driver holds the proofs of the plugin on a real engine. `make test` runs them on the engine that
// hack/engine provides; those whose names begin with TestLong run with `make test-long`.
package driver

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/verify"
)

// defaultTarget is where the output of a container without declarations goes: REMORA_DEFAULT_TARGET.
const defaultTarget = "docker"

// follow opens what the plugin's file output writes for a target.
func follow(p *engine.Plugin, target string) *verify.Log {
	return verify.Open(filepath.Join(p.Output(), target+".log"))
}

func TestEachLineExactlyOnceInOrderWithTags(t *testing.T) {
	e := engine.New(t)
	p := e.NewPlugin(t)
	const lines = 100_000
	c := e.Run(t, p.Name, []string{"--label", "aliyun.logs.web=stdout", "--label", "aliyun.logs.web.tags=team=blue"},
		"-name", "hundred", "-lines", strconv.Itoa(lines), "-size", "120")
	name := c.Name(t)
	log := follow(p, "web")
	log.Each = func(t testing.TB, r *verify.Record) {
		for _, want := range []string{`"team":"blue"`, `"docker_container":"` + name + `"`, `"container_id":"` + c.ID + `"`,
			`"source":"stdout"`, `"stream":"stdout"`} {
			if !strings.Contains(string(r.Raw), want) {
				t.Fatalf("a record lacks %s: %s", want, r.Raw)
			}
		}
	}
	log.ExactlyOnce(t, time.Minute, "hundred", "stdout", lines)
	if len(log.Others) != 0 {
		t.Errorf("%d records that nobody wrote, the first: %s", len(log.Others), log.Others[0].Raw)
	}
}

func TestKilledFiveTimesLosesNothing(t *testing.T) {
	e := engine.New(t)
	p := e.NewPlugin(t)
	const lines = 100_000
	c := e.Run(t, p.Name, nil, "-name", "killed", "-lines", strconv.Itoa(lines), "-rate", "9000", "-size", "120")
	for range 5 {
		time.Sleep(2 * time.Second)
		p.Kill(t)
	}
	c.Wait(t)
	n := follow(p, defaultTarget).Await(t, time.Minute, "killed", "stdout", lines)
	if n.Disorder != 0 {
		t.Errorf("%d lines came for the first time after a later one", n.Disorder)
	}
	if n.Twice != 0 { // the file output knows what it wrote
		t.Errorf("%d of %d lines came twice", n.Twice, lines)
	}
}

// The engine cuts a line into pieces of 16 KiB: 64 of them.
func TestLineOfOneMebibyteIsOneRecord(t *testing.T) {
	e := engine.New(t)
	p := e.NewPlugin(t)
	e.Run(t, p.Name, nil, "-name", "huge", "-lines", "3", "-size", strconv.Itoa(1<<20))
	log := follow(p, defaultTarget)
	log.Each = func(t testing.TB, r *verify.Record) {
		if len(r.Line()) != 1<<20 || r.Truncated {
			t.Errorf("a record of %d bytes, truncated: %v", len(r.Line()), r.Truncated)
		}
	}
	log.ExactlyOnce(t, 30*time.Second, "huge", "stdout", 3)
}

// Pieces of the two streams' long lines lie between each other in the FIFO.
func TestStreamsNeverMix(t *testing.T) {
	e := engine.New(t)
	p := e.NewPlugin(t)
	const lines, size = 500, 50_000
	e.Run(t, p.Name, []string{"--label", "aliyun.logs.both=stdout"},
		"-name", "turn", "-lines", strconv.Itoa(lines), "-size", strconv.Itoa(size), "-streams", "both")
	log := follow(p, "both")
	log.Each = func(t testing.TB, r *verify.Record) {
		words := strings.SplitN(r.Line(), " ", 3)
		n, _ := strconv.Atoi(words[1])
		if len(r.Line()) != size || strings.Trim(words[2], string(rune('a'+n%26))) != "" {
			t.Fatalf("record %s of %s is not what was written: %.60q…, %d bytes", words[1], r.Stream, r.Line(), len(r.Line()))
		}
	}
	log.ExactlyOnce(t, time.Minute, "turn", "stdout", lines)
	log.ExactlyOnce(t, time.Minute, "turn", "stderr", lines)
}

// A container that ends without a newline, or before the plugin has looked, has still been heard.
func TestLastWords(t *testing.T) {
	e := engine.New(t)
	p := e.NewPlugin(t)
	e.Run(t, p.Name, []string{"--rm"}, "-text", `begins\nends without a newline`)
	log := follow(p, defaultTarget)
	for _, want := range []string{"begins", "ends without a newline"} {
		log.AwaitOther(t, 20*time.Second, func(r *verify.Record) bool { return r.Line() == want })
	}
}

// SPDX-License-Identifier: Apache-2.0

package node

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/verify"
)

// declare is the options of docker run that declare one log.
func declare(name, source string, more ...string) []string {
	return append([]string{"--label", "aliyun.logs." + name + "=" + source}, more...)
}

func TestEachLineOfEachDriverExactlyOnce(t *testing.T) {
	e := engine.New(t)
	a := newAgent(t, e)
	const lines = 50_000
	for _, driver := range []string{"json-file", "local"} {
		c := e.Run(t, driver, declare(driver, "stdout", "--label", "aliyun.logs."+driver+".tags=team=blue"),
			"-name", driver, "-lines", strconv.Itoa(lines), "-size", "120", "-streams", "both")
		name := c.Name(t)
		log := a.follow(driver)
		log.Each = func(t testing.TB, r *verify.Record) {
			for _, want := range []string{`"team":"blue"`, `"docker_container":"` + name + `"`, `"container_id":"` + c.ID + `"`, `"source":"/`} {
				if !strings.Contains(string(r.Raw), want) {
					t.Fatalf("a record lacks %s: %s", want, r.Raw)
				}
			}
		}
		log.ExactlyOnce(t, time.Minute, driver, "stdout", lines)
		log.ExactlyOnce(t, soon, driver, "stderr", lines)
		if len(log.Others) != 0 {
			t.Errorf("%d records that nobody wrote, the first: %s", len(log.Others), log.Others[0].Raw)
		}
	}
}

// The engine cuts a line into pieces of 16 KiB: 16 of them, and those of both streams lie between each other.
func TestLongLinesAreOneRecord(t *testing.T) {
	e := engine.New(t)
	a := newAgent(t, e)
	for _, driver := range []string{"json-file", "local"} {
		e.Run(t, driver, declare(driver, "stdout"), "-name", "huge", "-lines", "3", "-size", strconv.Itoa(1<<18), "-streams", "both")
		log := a.follow(driver)
		log.Each = func(t testing.TB, r *verify.Record) {
			if len(r.Line()) != 1<<18 || r.Truncated {
				t.Errorf("a record of %d bytes, truncated: %v", len(r.Line()), r.Truncated)
			}
		}
		log.ExactlyOnce(t, soon, "huge", "stdout", 3)
		log.ExactlyOnce(t, soon, "huge", "stderr", 3)
	}
}

// The engine renumbers the files all the time, and compresses them.
func TestRotationUnderLoad(t *testing.T) {
	e := engine.New(t)
	a := newAgent(t, e)
	const lines = 60_000
	for _, c := range []struct {
		name, driver string
		options      []string
	}{
		{"plain", "json-file", []string{"--log-opt", "max-size=2m", "--log-opt", "max-file=5"}},
		{"compressed", "json-file", []string{"--log-opt", "max-size=2m", "--log-opt", "max-file=5", "--log-opt", "compress=true"}},
		{"local", "local", []string{"--log-opt", "max-size=2m", "--log-opt", "max-file=5"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e.Run(t, c.driver, append(declare(c.name, "stdout"), c.options...), "-name", c.name, "-lines", strconv.Itoa(lines), "-rate", "6000", "-size", "120")
			a.follow(c.name).ExactlyOnce(t, time.Minute, c.name, "stdout", lines)
		})
	}
}

// Files inside of a container, wherever they lie.
func TestFilesInside(t *testing.T) {
	e := engine.New(t)
	a := newAgent(t, e)
	bind := t.TempDir()
	e.Docker(t, "volume", "create", "remora-test-named")
	t.Cleanup(func() { _, _ = e.Try("volume", "rm", "--force", "remora-test-named") })
	const lines = 5_000
	for _, c := range []struct {
		name, at string
		options  []string
	}{
		{"bind", "/logs", []string{"--volume", bind + ":/logs"}},
		{"named", "/logs", []string{"--volume", "remora-test-named:/logs"}},
		{"anonymous", "/logs", []string{"--volume", "/logs"}},
		{"tmpfs", "/logs", []string{"--tmpfs", "/logs"}},
		{"mounted", "/logs", []string{"--mount", "type=tmpfs,destination=/logs"}},
		{"overlay", "/", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(c.at, "app.log")
			container := e.Run(t, "none", append(declare(c.name, filepath.Join(c.at, "*.log")), c.options...),
				"-name", c.name, "-lines", strconv.Itoa(lines), "-rate", "5000", "-file", path, "-rotate", "1000", "-hold")
			log := a.follow(c.name)
			log.Each = func(t testing.TB, r *verify.Record) {
				if !strings.Contains(string(r.Raw), `"source":"`+path) || !strings.Contains(string(r.Raw), container.ID) {
					t.Fatalf("not the path in the container: %s", r.Raw)
				}
			}
			log.ExactlyOnce(t, soon, c.name, "", lines)
		})
	}
}

// One volume in two containers is read once for each; the end of one does not end the other's.
func TestAVolumeThatTwoContainersShare(t *testing.T) {
	e := engine.New(t)
	a := newAgent(t, e)
	dir := t.TempDir()
	reader := e.Run(t, "none", declare("reader", "/logs/*.log", "--volume", dir+":/logs"), "-hold")
	const lines = 10_000
	e.Run(t, "none", declare("writer", "/logs/*.log", "--volume", dir+":/logs"), "-name", "shared", "-lines", strconv.Itoa(lines), "-rate", "3000", "-file", "/logs/a.log")
	time.Sleep(time.Second)
	e.Docker(t, "rm", "--force", reader.ID)
	a.follow("writer").ExactlyOnce(t, soon, "shared", "", lines)
}

// The agent is killed while two containers write, now and then before it could store how far it was.
func TestKilledLosesNothing(t *testing.T) { killed(t, 12) }

func killed(t *testing.T, kills int) {
	e := engine.New(t)
	a := newAgent(t, e)
	lines := kills * 4000
	e.Run(t, "json-file", declare("killed", "stdout", "--log-opt", "max-size=3m", "--log-opt", "max-file=9"), "-name", "killed",
		"-lines", strconv.Itoa(lines), "-rate", "4000", "-size", "120")
	e.Run(t, "none", declare("inside", "/l/*.log*", "--volume", "/l"), "-name", "inside", "-lines", strconv.Itoa(lines), "-rate", "4000", "-size", "120",
		"-file", "/l/a.log", "-rotate", "20000", "-hold")
	for n := range kills {
		time.Sleep(time.Duration(400+300*(n%4)) * time.Millisecond)
		a.kill()
		a.start(t)
	}
	for name, stream := range map[string]string{"killed": "stdout", "inside": ""} {
		n := a.follow(name).Await(t, time.Minute, name, stream, lines)
		if n.Twice != 0 { // the file output knows what it wrote
			t.Errorf("%s: %d of %d lines came twice", name, n.Twice, lines)
		}
	}
}

// Containers and their volumes are removed while they are read: nothing holds them up, and what they wrote arrives. With
// log-pilot a removal failed with EBUSY (its reports 61, 79 and 171).
func TestRemovedInTheMidst(t *testing.T) {
	e := engine.New(t)
	a := newAgent(t, e)
	const lines = 20_000
	for n, options := range [][]string{{"--volume", "/l"}, {"--tmpfs", "/other"}} {
		name := "removed" + strconv.Itoa(n)
		path := []string{"/l/a.log", "/a.log"}[n]
		c := e.Run(t, "none", append(declare(name, path), options...), "-name", name, "-lines", strconv.Itoa(lines), "-file", path, "-hold")
		log := a.follow(name)
		engine.Eventually(t, soon, func() (bool, string) {
			log.Read(t)
			return !log.Numbers(name, "").Has(lines) && log.Numbers(name, "").Has(0), "not a line has arrived"
		})
		began := time.Now()
		e.Docker(t, "rm", "--force", "--volumes", c.ID)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("removing the container took %v", took)
		}
		log.ExactlyOnce(t, soon, name, "", lines)
	}
}

// What a container's files and links lead to is its own, and nobody else's.
func TestNothingOfTheHostIsRead(t *testing.T) {
	e := engine.New(t)
	secret := filepath.Join(t.TempDir(), "secret.log")
	if err := os.WriteFile(secret, []byte("secret of the host\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := newAgent(t, e)
	dir := t.TempDir()
	for name, target := range map[string]string{"absolute.log": secret, "relative.log": "../../../../../../../../" + secret, "dev.log": "/dev/stdout"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Dir(secret), filepath.Join(dir, "sub")); err != nil {
		t.Fatal(err)
	}
	e.Run(t, "none", declare("bad", "/logs/**/*.log", "--volume", dir+":/logs"), "-name", "good", "-lines", "10", "-file", "/logs/good.log", "-hold")
	log := a.follow("bad")
	log.ExactlyOnce(t, soon, "good", "", 10)
	if len(log.Others) > 0 {
		t.Errorf("something else was read: %s", log.Others[0].Raw)
	}
}

// Containers with --rm that live some milliseconds: their file is gone with them, so whoever comes late has lost. How many
// arrive depends on the machine's load; the plugin loses none.
func TestContainersThatLiveForAMoment(t *testing.T) {
	e := engine.New(t)
	a := newAgent(t, e)
	image := e.Generator(t)
	const all = 20
	for n := range all {
		e.Docker(t, "run", "--rm", "--network", "none", "--log-driver", "json-file", "--label", "aliyun.logs.moment=stdout", image, "-name", "m"+strconv.Itoa(n))
	}
	log := a.follow("moment")
	arrived := func() (count int) {
		log.Read(t)
		for n := range all {
			if log.Numbers("m"+strconv.Itoa(n), "stdout").Has(0) {
				count++
			}
		}
		return count
	}
	engine.Eventually(t, soon, func() (bool, string) { return arrived() >= all/2, strconv.Itoa(arrived()) + " have arrived" })
	time.Sleep(2 * time.Second)
	t.Logf("%d of %d arrived", arrived(), all)
}

// A machine's engine is restarted, and its containers live on: nothing is lost, nothing comes twice.
func TestEngineRestarted(t *testing.T) {
	e := engine.NewPrivate(t, "--live-restore")
	a := newAgent(t, &e.Engine)
	const lines = 20_000
	e.Run(t, "none", declare("inside", "/l/*.log", "--volume", "/l"), "-name", "inside", "-lines", strconv.Itoa(lines), "-rate", "4000", "-file", "/l/a.log", "-hold")
	time.Sleep(time.Second)
	e.Stop(t)
	time.Sleep(2 * time.Second)
	a.stop(t)
	a.start(t) // while there is nobody to ask
	time.Sleep(time.Second)
	e.Start(t, "--live-restore")
	a.follow("inside").ExactlyOnce(t, soon, "inside", "", lines)
	e.Run(t, "json-file", declare("after", "stdout"), "-name", "after", "-lines", "10")
	a.follow("after").ExactlyOnce(t, soon, "after", "stdout", 10)
}

// explain names the place on the host and the way that was taken, and why something is left out.
func TestExplain(t *testing.T) {
	e := engine.New(t)
	a := newAgent(t, e)
	c := e.Run(t, "json-file", declare("out", "stdout", "--label", "aliyun.logs.in=/l/*.log", "--volume", "/l"), "-hold")
	left := e.Run(t, "json-file", declare("out", "stdout", "--label", "remora.io/exclude=true"), "-hold")
	text := a.command(t, "explain", "--container", c.Name(t))
	for _, want := range []string{"json-file in ", "/l at ", "/_data", "target out"} {
		if !strings.Contains(text, want) {
			t.Errorf("explain does not say %q:\n%s", want, text)
		}
	}
	if text := a.command(t, "explain", "--container", left.Name(t)); !strings.Contains(text, "left out: it is labelled remora.io/exclude=true") {
		t.Error(text)
	}
	if text := a.command(t, "healthz"); text != "ok\n" {
		t.Error(text)
	}
}

// SPDX-License-Identifier: Apache-2.0

package backends

import (
	"bytes"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
)

const user, password = "remora", "correct-horse"

// kfake starts a broker with a topic for each of the files.
func kfake(t *testing.T, address string, args ...string) *exec.Cmd {
	t.Helper()
	_, port, _ := net.SplitHostPort(address)
	cmd := exec.Command(build(t, "kfake", "."), append([]string{"-port", port, "-topic", "raw:4", "-topic", "parsed:4"}, args...)...)
	engine.Start(t, cmd)
	engine.Eventually(t, 30*time.Second, func() (bool, string) {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return false, "kfake does not listen"
		}
		return c.Close() == nil, ""
	})
	return cmd
}

// kcat reads a topic to its end: value, partition, offset, key, headers and time of each message.
func kcat(t *testing.T, address, topic string, args ...string) (all []document) {
	t.Helper()
	const format = "%s\x1f%p\x1f%o\x1f%k\x1f%h\x1f%T\x1e"
	cmd := exec.Command("kcat", append([]string{"-C", "-q", "-e", "-b", address, "-t", topic, "-o", "beginning", "-f", format}, args...)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kcat: %v: %s", err, said.String())
	}
	for row := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x1e"), "\x1e") {
		if row == "" {
			continue
		}
		parts := strings.Split(row, "\x1f")
		d := documents(t, []byte(parts[0]))[0]
		d["%p"], d["%o"], d["%k"], d["%T"] = parts[1], parts[2], parts[3], parts[5]
		for header := range strings.SplitSeq(parts[4], ",") {
			name, value, _ := strings.Cut(header, "=")
			d["header."+name] = value
		}
		all = append(all, d)
	}
	return all
}

// check reads both topics back with an independent client.
func check(t *testing.T, f files, address string, args ...string) {
	t.Helper()
	var raw []document
	engine.Eventually(t, time.Minute, func() (bool, string) {
		raw = kcat(t, address, "raw", args...)
		return len(raw) >= lines && len(kcat(t, address, "parsed", args...)) >= lines, strconv.Itoa(len(raw)) + " messages"
	})
	at := offsets(rawLine)
	compare(t, raw, rawNumber("message"), func(n int) document {
		return document{
			"message": rawLine(n), "team": "blue", "source": f.raw(), "offset": strconv.Itoa(at[n]),
			"%p": raw[0]["%p"], "%k": raw[0]["%k"], "%o": strconv.Itoa(n), // one key, one partition, in order
			"header.remora_id": raw[0]["%k"] + "." + strconv.FormatInt(int64(at[n]), 36),
		}
	})
	compare(t, kcat(t, address, "parsed", args...), jsonNumber, func(n int) document {
		return document{"text": `a "b" ü`, "nested": `{"a":[1,2]}`, "status": strconv.Itoa(200 + n%300), "source": f.json()}
	})
}

func TestKafkaCodecs(t *testing.T) {
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		t.Run(codec, func(t *testing.T) {
			address := engine.FreePort(t)
			kfake(t, address)
			f := write(t)
			sidecar(t, f, "LOGGING_OUTPUT=kafka", "KAFKA_BROKERS="+address, "KAFKA_COMPRESSION_CODEC="+codec)
			check(t, f, address)
		})
	}
}

func TestKafkaVersions(t *testing.T) {
	for _, version := range []string{"0.11.0", "1.0", "2.1", "3.7", "4.0"} {
		t.Run(version, func(t *testing.T) {
			address := engine.FreePort(t)
			kfake(t, address)
			f := write(t)
			sidecar(t, f, "LOGGING_OUTPUT=kafka", "KAFKA_BROKERS="+address, "KAFKA_VERSION="+version)
			check(t, f, address)
		})
	}
}

// How much is to be acknowledged; with 0 there is no answer at all.
func TestKafkaAcks(t *testing.T) {
	for _, acks := range []string{"all", "1", "0"} {
		t.Run(acks, func(t *testing.T) {
			address := engine.FreePort(t)
			kfake(t, address)
			f := write(t)
			sidecar(t, f, "LOGGING_OUTPUT=kafka", "KAFKA_BROKERS="+address, "KAFKA_REQUIRE_ACKS="+acks, "KAFKA_TIMEOUT=2s")
			check(t, f, address)
		})
	}
}

// kfake offers no version 0 of the SASL handshake, without which kcat does not log in. So the topics are read back from
// a broker on the same directory that lets everybody in.
func TestKafkaSASL(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			address, dir := engine.FreePort(t), t.TempDir()
			broker := kfake(t, address, "-dir", dir, "-user", mechanism+":"+user+":"+password)
			f := write(t)
			s := sidecar(t, f, "LOGGING_OUTPUT=kafka", "KAFKA_BROKERS="+address, "KAFKA_SASL_MECHANISM="+mechanism,
				"KAFKA_USERNAME="+user, "KAFKA_PASSWORD="+password)
			for _, p := range []*exec.Cmd{s, broker} { // told to end, the sidecar delivers the rest first
				time.Sleep(2 * time.Second)
				if err := p.Process.Signal(syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
				_ = p.Wait()
			}
			kfake(t, address, "-dir", dir)
			check(t, f, address)
		})
	}
}

// The broker takes record batches of a few kilobytes only: they are made smaller, and the one record that is too large
// by itself holds up nothing.
func TestKafkaSmallBroker(t *testing.T) {
	address := engine.FreePort(t)
	kfake(t, address, "-config", "message.max.bytes=4000")
	f := write(t)
	sidecar(t, f, "LOGGING_OUTPUT=kafka", "KAFKA_BROKERS="+address)
	check(t, f, address)
}

// The broker is killed while it is written to, and comes back with what it had on its disk.
func TestKafkaBrokerIsKilled(t *testing.T) {
	address, dir := engine.FreePort(t), t.TempDir()
	broker := kfake(t, address, "-dir", dir)
	f := write(t)
	sidecar(t, f, "LOGGING_OUTPUT=kafka", "KAFKA_BROKERS="+address, "REMORA_BATCH_BYTES=65536", "KAFKA_TIMEOUT=5s")
	for range 3 {
		time.Sleep(50 * time.Millisecond)
		if err := broker.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = broker.Wait()
		broker = kfake(t, address, "-dir", dir)
	}
	at, seen, last := offsets(rawLine), map[int]bool{}, -1
	var all []document
	engine.Eventually(t, time.Minute, func() (bool, string) {
		all = kcat(t, address, "raw")
		clear(seen)
		for _, d := range all {
			seen[rawNumber("message")(d)] = true
		}
		return len(seen) == lines, strconv.Itoa(len(seen)) + " lines"
	})
	first := map[int]bool{}
	for _, d := range all {
		n := rawNumber("message")(d)
		if d["offset"] != strconv.Itoa(at[n]) {
			t.Fatalf("line %d at %s", n, d["offset"])
		}
		if !first[n] && n < last {
			t.Fatalf("line %d after line %d", n, last)
		}
		first[n], last = true, max(last, n)
	}
	t.Logf("%d messages of %d lines", len(all), lines)
}

// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/verify"
)

// The broker is down when plugin and container start, comes up later, and an independent client reads back what was
// written: each line once, in order, on the topic that was declared.
func TestKafkaComesUpLate(t *testing.T) {
	e := engine.New(t)
	broker := engine.FreePort(t)
	p := e.NewPlugin(t, "LOGGING_OUTPUT=kafka", "KAFKA_BROKERS="+broker)
	const lines = 20_000
	c := e.Run(t, p.Name, []string{"--label", "aliyun.logs.orders=stdout", "--label", "aliyun.logs.orders.target=orders-topic"},
		"-name", "order", "-lines", strconv.Itoa(lines))
	c.Wait(t)
	kfake(t, broker, "orders-topic")

	log := verify.Open(filepath.Join(t.TempDir(), "read-back"))
	log.Each = func(t testing.TB, r *verify.Record) {
		var tags struct {
			Container string `json:"container_id"`
		}
		if err := json.Unmarshal(r.Raw, &tags); err != nil || tags.Container != c.ID {
			t.Fatalf("a record of another container: %s", r.Raw)
		}
	}
	consume(t, broker, "orders-topic", log)
	log.ExactlyOnce(t, time.Minute, "order", "stdout", lines)
}

// kfake starts a broker in a process of its own.
func kfake(t *testing.T, addr string, topics ...string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "kfake")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Dir = filepath.Join(engine.Root(t), "integration", "backends", "kfake")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building kfake: %v: %s", err, out)
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-port", port}
	for _, topic := range topics {
		args = append(args, "-topic", topic+":4")
	}
	cmd := exec.Command(binary, args...)
	cmd.Stderr = os.Stderr
	engine.Start(t, cmd)
	engine.Eventually(t, 10*time.Second, func() (bool, string) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return false, err.Error()
		}
		conn.Close()
		return true, ""
	})
}

// consume has kcat write what it reads from the topic to the log's file.
func consume(t *testing.T, broker, topic string, log *verify.Log) {
	t.Helper()
	out, err := os.Create(log.Path())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	cmd := exec.Command("kcat", "-C", "-u", "-q", "-b", broker, "-t", topic, "-o", "beginning", "-f", "%s\n")
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	engine.Start(t, cmd)
}

// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Stream is a container that exists only as the engine's side of its log: a FIFO, held open for reading and writing as
// the engine does, and the calls to the plugin.
type Stream struct {
	ID   string
	fifo *os.File
	wire *Wire
	buf  []byte
}

// Wire speaks to a plugin as the engine does.
type Wire struct {
	plugin *Plugin
	client *http.Client
}

// NewWire connects to the plugin's socket through its process's own view of the file system.
func NewWire(t testing.TB, p *Plugin) *Wire {
	t.Helper()
	socket := p.Inside(t, "/run/docker/plugins/remora.sock")
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return &Wire{plugin: p, client: &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// Start makes a FIFO and has the plugin collect what is written to it.
func (w *Wire) Start(t testing.TB, id string, labels map[string]string) *Stream {
	t.Helper()
	path := w.plugin.Inside(t, fifoDir+id)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path, 0o700); err != nil {
		t.Fatal(err)
	}
	fifo, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		fifo.Close()
		os.Remove(path)
	})
	w.call(t, "StartLogging", map[string]any{
		"File": fifoDir + id,
		"Info": map[string]any{
			"Config": map[string]string{}, "ContainerID": id, "ContainerName": "/sim-" + id[:12], "ContainerImageID": "sha256:0",
			"ContainerImageName": "simulated", "ContainerCreated": time.Now(), "ContainerEnv": []string{},
			"ContainerLabels": labels, "DaemonName": "docker",
		},
	})
	return &Stream{ID: id, fifo: fifo, wire: w}
}

// Write writes one line of stdout as the engine frames it: a length and a LogEntry.
func (s *Stream) Write(line []byte) error {
	b := append(s.buf[:0], 0, 0, 0, 0)
	b = append(b, "\x0a\x06stdout\x10"...) // source = 1, time_nano = 2
	b = binary.AppendUvarint(b, uint64(time.Now().UnixNano()))
	b = binary.AppendUvarint(append(b, 0x1a), uint64(len(line))) // line = 3
	b = append(b, line...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	s.buf = b
	return s.WriteFrames(b)
}

// WriteFrames writes what is framed already. While the plugin is away, as much of it as the FIFO holds.
func (s *Stream) WriteFrames(b []byte) error {
	_, err := s.fifo.Write(b)
	return err
}

// Stop has the plugin drain the FIFO, as when a container has ended.
func (s *Stream) Stop(t testing.TB) {
	t.Helper()
	s.wire.call(t, "StopLogging", map[string]string{"File": fifoDir + s.ID})
}

func (w *Wire) call(t testing.TB, method string, request any) {
	t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := w.client.Post("http://plugin/LogDriver."+method, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	var refused struct{ Err string }
	if err := json.Unmarshal(text, &refused); err != nil || refused.Err != "" || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %s", method, answer.Status, text)
	}
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/remora-logs/remora/integration/bench/pod"
)

// form is the format in which a container runtime stores a container's output.
type form struct {
	name string
	path string // of the file, below the root of the machine
	// wrap appends a line, given without its newline, in the runtime's format; n is its number.
	wrap func(dst, line []byte, n int) []byte
}

// forms are the formats that a node agent reads. The names in the paths are those of the bench's only container.
var forms = map[string]form{
	"cri": {"cri", "var/log/pods/" + pod.Namespace + "_" + pod.Name + "_" + pod.UID + "/" + pod.Container + "/0.log",
		func(dst, line []byte, n int) []byte {
			dst = append(written(n).AppendFormat(dst, storedTime), " stdout F "...)
			return append(append(dst, line...), '\n')
		}},
	"docker": {"docker", "var/lib/docker/containers/" + pod.ContainerID + "/" + pod.ContainerID + "-json.log",
		func(dst, line []byte, n int) []byte {
			dst = append(dst, `{"log":"`...)
			dst = escape(dst, line)
			dst = append(dst, `\n","stream":"stdout","time":"`...)
			return append(written(n).AppendFormat(dst, storedTime), "\"}\n"...)
		}},
}

// storedTime is the runtimes' layout of times.
const storedTime = "2006-01-02T15:04:05.000000000Z07:00"

// written returns when line n was written, by a container that writes 20,000 lines per second.
func written(n int) time.Time {
	return time.Date(2026, 11, 21, 8, 0, 0, 123, time.UTC).Add(time.Duration(n) * 50 * time.Microsecond)
}

// store writes the lines of from below root in the runtime's format, and returns the path. The bytes that the format adds do
// not count as input.
func (f form) store(root, from string) (path string, err error) {
	in, err := os.Open(from)
	if err != nil {
		return "", err
	}
	defer in.Close()
	path = filepath.Join(root, f.path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	out, err := os.Create(path)
	if err != nil {
		return "", err
	}
	w := bufio.NewWriterSize(out, 1<<20)
	var line []byte
	n := 0
	for lines := bufio.NewScanner(in); lines.Scan(); n++ {
		line = f.wrap(line[:0], lines.Bytes(), n)
		_, _ = w.Write(line) // Flush returns the error
	}
	if err := w.Flush(); err != nil {
		return "", err
	}
	return path, out.Close()
}

// engine, engineContainers, engineContainer and engineEvents are the part of the Docker engine's API that the node agent uses:
// one running container, to which nothing happens.

const engineAPI = "/v1.47"

func engine(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprint(w, `{"ApiVersion": "1.47", "MinAPIVersion": "1.24"}`)
}

func engineContainers(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(w, `[{"Id": %q, "State": "running"}]`, pod.ContainerID)
}

func engineContainer(w http.ResponseWriter, _ *http.Request) {
	_ = json.NewEncoder(w).Encode(map[string]any{ // the client reports errors
		"Id": pod.ContainerID, "Name": "/" + pod.Container, "Created": "2026-11-21T08:00:00Z", "LogPath": "/" + forms["docker"].path,
		"Config": map[string]any{"Image": "nginx:1.27", "Labels": map[string]string{
			"io.kubernetes.pod.namespace": pod.Namespace, "io.kubernetes.pod.name": pod.Name, "io.kubernetes.pod.uid": pod.UID,
			"io.kubernetes.container.name": pod.Container,
		}},
		"HostConfig": map[string]any{"LogConfig": map[string]string{"Type": "json-file"}},
		"State":      map[string]any{"Running": true},
	})
}

func engineEvents(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

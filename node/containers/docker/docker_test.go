// SPDX-License-Identifier: Apache-2.0

package docker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/node/containers"
	"github.com/remora-logs/remora/node/containers/docker"
)

// engine is an engine of which a test says what it answers.
type engine struct {
	mu         sync.Mutex
	least      string
	most       string
	containers map[string]string // inspections, by ID
	labels     map[string]string // in the list, by ID
	list       string            // instead of that of containers
	asked      []string
	events     chan string
}

func (e *engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	e.asked = append(e.asked, r.URL.Path)
	e.mu.Unlock()
	path := r.URL.Path
	if strings.HasPrefix(path, "/v1.") {
		path = path[strings.Index(path[1:], "/")+1:]
	}
	switch {
	case path == "/version":
		fmt.Fprintf(w, `{"ApiVersion":%q,"MinAPIVersion":%q}`, e.most, e.least)
	case path == "/info":
		fmt.Fprint(w, `{"DockerRootDir":"/data/docker"}`)
	case path == "/containers/json" && e.list != "":
		fmt.Fprint(w, e.list)
	case path == "/containers/json":
		var all []map[string]string
		for id := range e.containers {
			all = append(all, map[string]string{"Id": id, "State": "running", "Label": e.labels[id]})
		}
		_ = json.NewEncoder(w).Encode(all)
	case path == "/events":
		w.(http.Flusher).Flush()
		for {
			select {
			case event, open := <-e.events:
				if !open {
					return
				}
				fmt.Fprintln(w, event)
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	default:
		answer, ok := e.containers[strings.TrimSuffix(strings.TrimPrefix(path, "/containers/"), "/json")]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			answer = `{"message":"No such container"}`
		}
		fmt.Fprint(w, answer)
	}
}

func serve(t *testing.T, e *engine) *docker.Inventory {
	dir, err := os.MkdirTemp("", "remora") // a socket's path has to be short
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	listener, err := net.Listen("unix", filepath.Join(dir, "docker.sock"))
	require.NoError(t, err)
	server := &http.Server{Handler: e}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	i, err := docker.New("unix://"+listener.Addr().String(), false, "", filepath.Join(dir, "proc"))
	require.NoError(t, err)
	process := filepath.Join(dir, "proc", "77")
	require.NoError(t, os.MkdirAll(process, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(process, "mountinfo"),
		[]byte("2 1 0:5 / / rw - overlay overlay rw,lowerdir=/l1:/l2,upperdir=/from/proc\n"), 0o600))
	return i
}

const web = `{"Id":"web1","Name":"/web","Image":"sha256:1","Created":"2026-01-02T03:04:05.5Z","LogPath":"/var/lib/docker/containers/web1/web1-json.log",
	"Config":{"Image":"nginx:1","Labels":{"a":"b"},"Env":["X=1"]},"HostConfig":{"LogConfig":{"Type":"json-file"},"Tmpfs":{"/run/":""}},
	"State":{"Running":true,"Pid":77},"GraphDriver":{"Name":"overlay2","Data":{"UpperDir":"/u","LowerDir":"/l1:/l2"}},
	"Mounts":[{"Type":"volume","Source":"/v/_data","Destination":"/logs"},{"Type":"tmpfs","Destination":"/tmp"}]}`

func TestInspection(t *testing.T) {
	i := serve(t, &engine{least: "1.24", most: "1.41", containers: map[string]string{"web1": web}})
	all, err := i.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, []containers.Container{{
		Runtime: "docker", ID: "web1", Name: "web", Image: "nginx:1", ImageID: "sha256:1", Labels: map[string]string{"a": "b"},
		Env: []string{"X=1"}, Detailed: true, Running: true,
		Created: time.Date(2026, 1, 2, 3, 4, 5, 5e8, time.UTC),
		Log:     containers.Log{Driver: "json-file", Form: containers.JSONFile, Dir: "/var/lib/docker/containers/web1", Pattern: "web1-json.log{,.*}"},
		Files: containers.Files{Upper: "/u", Lower: []string{"/l1", "/l2"}, Mounts: map[string]string{"/logs": "/v/_data"}, Process: 77,
			Hidden: []string{"/tmp", "/run"}},
	}}, all)
	_, err = i.Inspect(t.Context(), "nobody")
	require.ErrorIs(t, err, containers.ErrGone)
}

// Where containerd stores the images, the engine does not tell of directories (from 1.52 on), or tells nothing in them.
// The kernel does, while the container runs, and that is remembered.
func TestNoGraphDriver(t *testing.T) {
	for name, graph := range map[string]string{"absent": "", "null": `"GraphDriver":null,`, "a stub": `"GraphDriver":{"Name":"overlayfs","Data":null},`} {
		t.Run(name, func(t *testing.T) {
			answer := func(state string) string {
				return `{"Id":"a","Name":"/a",` + graph + `"HostConfig":{"LogConfig":{"Type":"local"}},"State":` + state + `}`
			}
			e := &engine{least: "1.44", most: "1.52", containers: map[string]string{"a": answer(`{"Running":true,"Pid":77}`)}}
			i := serve(t, e)
			c, err := i.Inspect(t.Context(), "a")
			require.NoError(t, err)
			require.Equal(t, "/from/proc", c.Files.Upper)
			require.Equal(t, containers.Log{Driver: "local", Form: containers.Local, Dir: "/data/docker/containers/a/local-logs",
				Pattern: "container.log{,.*}"}, c.Log)
			e.containers["a"] = answer(`{"Running":false,"Pid":0}`)
			c, err = i.Inspect(t.Context(), "a")
			require.NoError(t, err)
			require.False(t, c.Running)
			require.Equal(t, "/from/proc", c.Files.Upper)
		})
	}
}

func TestVersions(t *testing.T) {
	for name, c := range map[string]struct{ least, most, want string }{
		"an old engine":       {"1.12", "1.24", "/v1.24/"},
		"an engine of today":  {"1.44", "1.52", "/v1.52/"},
		"a newer one":         {"1.44", "1.99", "/v1.56/"},
		"one that is too old": {"1.12", "1.23", ""},
		"one that is too new": {"1.57", "1.60", ""},
		"rubbish":             {"", "two", ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := &engine{least: c.least, most: c.most, containers: map[string]string{"web1": web}}
			_, err := serve(t, e).List(t.Context())
			if c.want == "" {
				require.ErrorContains(t, err, "of the API")
				return
			}
			require.NoError(t, err)
			require.Contains(t, e.asked, c.want+"containers/json")
		})
	}
}

func TestEvents(t *testing.T) {
	e := &engine{least: "1.24", most: "1.41", events: make(chan string, 9)}
	e.events <- `{"Type":"container","Action":"start","Actor":{"ID":"a"}}`
	e.events <- `{"status":"die","id":"b"}`
	close(e.events)
	var got []string
	err := serve(t, e).Watch(t.Context(), func(id string) { got = append(got, id) })
	require.ErrorContains(t, err, "EOF")
	require.Equal(t, []string{"", "a", "b"}, got)
}

// Containers that run on are not inspected at each list.
func TestAListInspectsWhatIsNew(t *testing.T) {
	e := &engine{least: "1.24", most: "1.41", containers: map[string]string{"web1": web}}
	i := serve(t, e)
	for range 5 {
		all, err := i.List(t.Context())
		require.NoError(t, err)
		require.Len(t, all, 1)
	}
	require.Len(t, slices.DeleteFunc(e.asked, func(p string) bool { return !strings.HasSuffix(p, "/web1/json") }), 1)
	delete(e.containers, "web1")
	all, err := i.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, all)
}

// Containers with large labels hide nobody: not many of them, nor one whose labels are too large for itself.
func TestLargeLabelsHideNobodyElse(t *testing.T) {
	e := &engine{least: "1.24", most: "1.41", containers: map[string]string{"web1": web}, labels: map[string]string{"web1": `"]}\`}}
	for n := range 5 {
		id := fmt.Sprint("large", n)
		e.containers[id], e.labels[id] = fmt.Sprintf(`{"Id":%q,"State":{"Running":true}}`, id), strings.Repeat("x", 600<<10)
	}
	e.containers["huge"], e.labels["huge"] = `{"Id":"huge","State":{"Running":true}}`, strings.Repeat("[{", 1<<20)
	inventory := serve(t, e)
	require.Equal(t, 16<<20, inventory.LimitAnswers(1600<<10))
	all, err := inventory.List(t.Context())
	var large *containers.TooLarge
	require.ErrorAs(t, err, &large)
	require.Equal(t, []string{"huge"}, large.IDs)
	var ids []string
	for _, c := range all {
		ids = append(ids, c.ID)
	}
	require.ElementsMatch(t, []string{"web1", "large0", "large1", "large2", "large3", "large4"}, ids)
}

// What is no list, or is cut off, is an error: nobody is taken to be gone.
func TestAListThatIsNone(t *testing.T) {
	for _, answer := range []string{"", "{}", `"["`, "[7]", "[null]", `["a"]`, "[[]]", "[", `[{"Id":"a"}`, `[{"Id":"a"},`, `[{"Id":7}]`, `[{"Id"}]`, "[}", `[{"Id":"a\"}]`} {
		e := &engine{least: "1.24", most: "1.41", containers: map[string]string{"web1": web}, list: answer + "\n"}
		_, err := serve(t, e).List(t.Context())
		require.Error(t, err, answer)
	}
	e := &engine{least: "1.24", most: "1.41", list: " [ ]\n"}
	all, err := serve(t, e).List(t.Context())
	require.NoError(t, err)
	require.Empty(t, all)
}

func TestAnEngineThatIsNotThere(t *testing.T) {
	i, err := docker.New("unix:///nowhere/docker.sock", false, "", "/proc")
	require.NoError(t, err)
	_, err = i.List(t.Context())
	require.ErrorContains(t, err, "/nowhere/docker.sock does not answer")
	require.Error(t, i.Watch(context.Background(), func(string) {}))
	_, err = docker.New("ssh://host", false, "", "/proc")
	require.ErrorContains(t, err, "ssh://host")
}

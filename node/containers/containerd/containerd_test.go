// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/remora-logs/remora/node/containers"
	"github.com/remora-logs/remora/node/containers/internal/grpctest"
)

type message = grpctest.Message

// server is a containerd of which a test says what it holds, by namespace and ID.
type server struct {
	mu         sync.Mutex
	namespaces []string
	containers map[string]message // a Container each
	tasks      map[string]message // a Process each
	mounts     map[string]message // a Mount each, by snapshotter and key
	failing    map[string]string  // status by method, or by method and namespace
	exhausted  string             // the container that it refuses to send
	hang       chan struct{}      // what lists of tasks wait for
	events     chan message
	asked      []string
}

func (s *server) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(q.Body)
	_, method, _ := strings.Cut(q.URL.Path, "/containerd.services.")
	namespace, key := q.Header.Get("containerd-namespace"), ""
	var fields []string
	for rest := body[min(len(body), 5):]; len(rest) > 0; {
		_, _, n := protowire.ConsumeTag(rest)
		value, m := protowire.ConsumeString(rest[n:])
		fields, rest = append(fields, value), rest[n+m:]
	}
	key = namespace + "/" + strings.Join(fields, "/")
	s.mu.Lock()
	s.asked = append(s.asked, method+" "+key)
	status := cmp.Or(s.failing[method], s.failing[method+" "+namespace])
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/grpc")
	if status != "" {
		w.Header().Set("Grpc-Status", status)
		return
	}
	w.Header().Set("Trailer", "Grpc-Status")
	switch method {
	case "namespaces.v1.Namespaces/List":
		var all message
		for _, name := range s.namespaces {
			all = all.Text(1, string(message(nil).Text(1, name)))
		}
		_, _ = w.Write(grpctest.Frame(all))
	case "containers.v1.Containers/ListStream":
		s.list(w, namespace)
		return
	case "containers.v1.Containers/Get":
		s.one(w, s.containers, key)
		return
	case "tasks.v1.Tasks/Get":
		s.one(w, s.tasks, key)
		return
	case "snapshots.v1.Snapshots/Mounts":
		s.one(w, s.mounts, key)
		return
	case "tasks.v1.Tasks/List":
		if s.hang != nil {
			<-s.hang
		}
		var all message
		for _, of := range s.in(s.tasks, namespace) {
			all = all.Text(1, string(s.tasks[of]))
		}
		_, _ = w.Write(grpctest.Frame(all))
	case "events.v1.Events/Subscribe": // which sends nothing, headers either, before the first event
		for e := range s.events {
			_, _ = w.Write(grpctest.Frame(e))
			w.(http.Flusher).Flush()
		}
	}
	w.Header().Set("Grpc-Status", "0")
}

// in are the keys of a namespace, in the order in which containerd lists.
func (s *server) in(all map[string]message, namespace string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(key string) bool { return !strings.HasPrefix(key, namespace+"/") })
}

func (s *server) list(w http.ResponseWriter, namespace string) {
	for _, key := range s.in(s.containers, namespace) {
		if key == s.exhausted {
			w.Header().Set("Grpc-Status", "8")
			return
		}
		_, _ = w.Write(grpctest.Frame(message(nil).Text(1, string(s.containers[key]))))
	}
	w.Header().Set("Grpc-Status", "0")
}

func (s *server) one(w http.ResponseWriter, all map[string]message, key string) {
	s.mu.Lock()
	m, ok := all[key]
	s.mu.Unlock()
	switch {
	case key == s.exhausted:
		w.Header().Set("Grpc-Status", "8")
	case !ok:
		w.Header().Set("Grpc-Status", "5")
	default:
		_, _ = w.Write(grpctest.Frame(message(nil).Text(1, string(m))))
		w.Header().Set("Grpc-Status", "0")
	}
}

// add adds a container with its labels in pairs and the JSON of its specification.
func (s *server) add(key, spec string, labels ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	namespace, id, _ := strings.Cut(key, "/")
	if !slices.Contains(s.namespaces, namespace) {
		s.namespaces = append(s.namespaces, namespace)
	}
	c := message(nil).Text(1, id)
	for i := 0; i < len(labels); i += 2 {
		c = c.Pair(2, labels[i], labels[i+1])
	}
	if spec != "" {
		c = c.Text(5, string(message(nil).Text(1, "types.containerd.io/opencontainers/runtime-spec/1/Spec").Text(2, spec)))
	}
	created := message(nil).Number(1, uint64(100+len(s.containers))).Number(2, 5)
	c = c.Text(3, "docker.io/library/nginx:1").Text(6, "overlayfs").Text(7, id).Text(8, string(created)).Text(9, "1")
	s.containers[key] = append(c, message(nil).Number(99, 7)...)
}

func (s *server) runs(key string, state uint64, stdout string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, id, _ := strings.Cut(key, "/")
	s.tasks[key] = message(nil).Text(2, id).Number(3, 77).Number(4, state).Text(6, stdout)
}

// inspected is how often a container's record was asked for.
func (s *server) inspected(key string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, call := range s.asked {
		if call == "containers.v1.Containers/Get "+key {
			n++
		}
	}
	return n
}

func newServer() *server {
	return &server{containers: map[string]message{}, tasks: map[string]message{}, mounts: map[string]message{}, failing: map[string]string{},
		events: make(chan message)}
}

func serve(t *testing.T, s *server, kubernetes bool) *Inventory {
	t.Helper()
	procfs := t.TempDir()
	process := filepath.Join(procfs, "77")
	require.NoError(t, os.MkdirAll(process, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(process, "mountinfo"),
		[]byte("2 1 0:5 / / rw - overlay overlay rw,lowerdir=/l1:/l2,upperdir=/from/proc\n"), 0o600))
	return New(grpctest.Serve(t, s), procfs, kubernetes)
}

// ids lists what an inventory has.
func ids(t *testing.T, i *Inventory) (ids []string) {
	t.Helper()
	all, err := i.List(t.Context())
	require.NoError(t, err)
	for _, c := range all {
		ids = append(ids, c.ID)
	}
	slices.Sort(ids)
	return ids
}

const webSpec = `{"process":{"env":["PATH=/bin","aliyun_logs_app=/logs/*.log"]},"root":{"path":"rootfs"},"mounts":[
	{"destination":"/proc","type":"proc","source":"proc"},{"destination":"/run","type":"tmpfs","source":"tmpfs"},
	{"destination":"/logs/","type":"bind","source":"/var/lib/nerdctl/volumes/x/_data"},{"destination":"/cache","type":"tmpfs"},
	{"destination":"/cache","type":"bind","source":"/srv/cache"}]}`

func TestContainer(t *testing.T) {
	s := newServer()
	s.add("default/abc", webSpec, "nerdctl/name", "web", "com.docker.compose.project", "shop", "aliyun.logs.x", "stdout")
	s.runs("default/abc", 2, "binary:///usr/local/bin/remora-logger?target=orders")
	s.mounts["default/overlayfs/abc"] = message(nil).Text(1, "overlay").Text(2, "overlay").Text(4, "index=off").
		Text(4, "workdir=/s/3/work").Text(4, "upperdir=/s/3/fs").Text(4, "lowerdir=/s/2/fs:/s/1/fs")
	i := serve(t, s, false)
	for range 3 {
		all, err := i.List(t.Context())
		require.NoError(t, err)
		require.Equal(t, []containers.Container{{
			Runtime: "containerd", ID: "default/abc", Namespace: "default", Name: "web", Image: "docker.io/library/nginx:1",
			Labels:   map[string]string{"nerdctl/name": "web", "com.docker.compose.project": "shop", "aliyun.logs.x": "stdout"},
			Env:      []string{"PATH=/bin", "aliyun_logs_app=/logs/*.log"},
			Detailed: true, Running: true, Created: time.Unix(100, 5),
			Log: containers.Log{Driver: "remora-logger", Options: map[string]string{"target": "orders"}},
			Files: containers.Files{Upper: "/s/3/fs", Lower: []string{"/s/2/fs", "/s/1/fs"}, Process: 77, Hidden: []string{"/run"},
				Mounts: map[string]string{"/logs": "/var/lib/nerdctl/volumes/x/_data", "/cache": "/srv/cache"}},
		}}, all)
		require.Equal(t, "abc", all[0].BareID())
	}
	require.Equal(t, 1, s.inspected("default/abc"), "one that has not changed is not inspected again")
	s.runs("default/abc", 3, "")
	s.tasks["default/abc"] = s.tasks["default/abc"].Text(10, string(message(nil).Number(1, 200).Number(2, 7)))
	c, err := i.Inspect(t.Context(), "default/abc")
	require.NoError(t, err)
	require.Equal(t, time.Unix(200, 7), c.Exited)
	delete(s.tasks, "default/abc")
	c, err = i.Inspect(t.Context(), "default/abc")
	require.NoError(t, err)
	require.False(t, c.Running)
	require.Zero(t, c.Files.Process)
	require.Equal(t, "remora-logger", c.Log.Driver)
	asked := len(s.asked)
	c, err = i.Describe(t.Context(), "default/abc")
	require.NoError(t, err)
	require.Equal(t, "stdout", c.Labels["aliyun.logs.x"])
	require.Equal(t, []string{"containers.v1.Containers/Get default/abc"}, s.asked[asked:], "no shim is waited for")
	_, err = i.Describe(t.Context(), "moby/abc")
	require.ErrorIs(t, err, containers.ErrGone)
	_, err = i.Inspect(t.Context(), "default/nobody")
	require.ErrorIs(t, err, containers.ErrGone)
}

// The root file system is a directory that the client chose, a snapshot of one layer, or what the kernel tells.
func TestRoot(t *testing.T) {
	s := newServer()
	s.add("ns/chosen", `{"root":{"path":"/srv/rootfs"}}`)
	s.add("ns/single", webSpec)
	s.mounts["ns/overlayfs/single"] = message(nil).Text(1, "bind").Text(2, "/s/1/fs").Text(4, "rbind")
	s.add("ns/device", webSpec)
	s.mounts["ns/overlayfs/device"] = message(nil).Text(1, "ext4").Text(2, "/dev/mapper/x")
	s.add("ns/ended", webSpec)
	s.add("ns/damaged", webSpec)
	s.mounts["ns/overlayfs/damaged"] = message(nil).Text(1, "bind").Text(2, "relative")
	for _, id := range []string{"chosen", "single", "device", "damaged"} {
		s.runs("ns/"+id, 2, "")
	}
	i := serve(t, s, false)
	for id, want := range map[string]string{"chosen": "/srv/rootfs", "single": "/s/1/fs", "device": "/from/proc", "ended": "", "damaged": "/from/proc"} {
		c, err := i.Inspect(t.Context(), "ns/"+id)
		require.NoError(t, err)
		require.Equal(t, want, cmp.Or(c.Files.Upper, c.Files.Mounts["/"]), id)
	}
}

// Each container is one inventory's. Labels decide only where those who set them can do no harm but to themselves.
func TestWhoseItIs(t *testing.T) {
	s := newServer()
	s.add("moby/docker1", webSpec)
	s.add("plugins.moby/plugin", webSpec)
	s.add("other/docker2", webSpec, "com.docker/engine.bundle.path", "/run/docker/containerd/docker2")
	s.add("k8s.io/box", webSpec, "io.cri-containerd.kind", "sandbox")
	s.add("k8s.io/app", webSpec, "io.cri-containerd.kind", "container", "io.kubernetes.pod.uid", "uid", "io.kubernetes.pod.name", "web-0",
		"io.kubernetes.pod.namespace", "shop", "io.kubernetes.container.name", "app", "nerdctl/name", "web")
	s.add("k8s.io/nerdctl", webSpec, "io.kubernetes.pod.uid", "uid", "io.kubernetes.container.name", "app")
	s.add("default/forger", webSpec, "io.cri-containerd.kind", "container", "io.kubernetes.pod.uid", "uid", "io.kubernetes.container.name", "app")
	s.add("default/both", webSpec)
	s.add("second/both", webSpec)
	require.Equal(t, []string{"default/both", "default/forger", "k8s.io/nerdctl", "second/both"}, ids(t, serve(t, s, false)))
	i := serve(t, s, true)
	require.Equal(t, []string{"default/both", "default/forger", "k8s.io/app", "k8s.io/nerdctl", "second/both"}, ids(t, i))
	for _, foreign := range []string{"moby/docker1", "other/docker2", "k8s.io/box"} {
		_, err := i.Inspect(t.Context(), foreign)
		require.ErrorIs(t, err, containers.ErrGone, foreign)
	}
	c, err := i.Inspect(t.Context(), "k8s.io/app")
	require.NoError(t, err)
	require.Equal(t, containers.Pod{Namespace: "shop", Name: "web-0", UID: "uid", Container: "app"}, c.Pod)
	require.Equal(t, "k8s_app_web-0_shop_uid", c.Name)
	for _, other := range []string{"k8s.io/nerdctl", "default/forger"} {
		c, err := i.Inspect(t.Context(), other)
		require.NoError(t, err)
		require.Zero(t, c.Pod)
	}
}

// Anybody who makes a container can give it the label of another's name. The older one has it, after a restart too.
func TestANameIsOneContainers(t *testing.T) {
	names := func(i *Inventory) map[string]string {
		all, err := i.List(t.Context())
		require.NoError(t, err)
		names := map[string]string{}
		for _, c := range all {
			names[c.ID] = c.Name
		}
		return names
	}
	s := newServer()
	s.add("default/z", webSpec, "nerdctl/name", "web")
	i := serve(t, s, false)
	require.Equal(t, map[string]string{"default/z": "web"}, names(i))
	s.add("default/a", webSpec, "nerdctl/name", "web")
	s.add("default/odd", webSpec, "nerdctl/name", "../web")
	s.add("second/y", webSpec, "nerdctl/name", "web")
	c, err := i.Inspect(t.Context(), "default/a")
	require.NoError(t, err)
	require.Equal(t, "a", c.Name)
	s.add("default/zy", webSpec, "nerdctl/name", "web")
	want := map[string]string{"default/z": "web", "default/a": "a", "default/zy": "zy", "default/odd": "odd", "second/y": "web"}
	require.Equal(t, want, names(i))
	require.Equal(t, want, names(serve(t, s, false)))

	delete(s.containers, "default/z")
	require.Equal(t, map[string]string{"default/a": "web", "default/zy": "zy", "default/odd": "odd", "second/y": "web"}, names(i))
	s.add("default/zz", webSpec, "nerdctl/name", "web")
	delete(s.containers, "default/zy")
	delete(s.containers, "default/a") // nerdctl made it anew, and its event comes before that of the removal
	c, err = i.Inspect(t.Context(), "default/zz")
	require.NoError(t, err)
	require.Equal(t, "web", c.Name)
	s.add("default/zz", webSpec, "nerdctl/name", "shop")
	c, err = i.Inspect(t.Context(), "default/zz")
	require.NoError(t, err)
	require.Equal(t, "shop", c.Name)
}

// What is hidden of one container, by its size or by bytes that are no specification, hides nobody else.
func TestLargeLabelsHideNobodyElse(t *testing.T) {
	s := newServer()
	s.add("default/a", webSpec)
	s.add("default/huge", webSpec, "x", strings.Repeat("x", 17<<20))
	for n := range 3 {
		s.add(fmt.Sprint("default/large", n), webSpec, "x", strings.Repeat("x", 6<<20))
	}
	s.add("default/nospec", "")
	s.add("default/odd", `{"process":7}`)
	s.add("default/deep", strings.Repeat("[", 100_000))
	i := serve(t, s, false)
	all, err := i.List(t.Context())
	var large *containers.TooLarge
	require.ErrorAs(t, err, &large)
	require.Equal(t, []string{"default/huge"}, large.IDs)
	require.Len(t, all, 7)
	for _, c := range all {
		require.True(t, c.Detailed, c.ID)
	}
}

// containerd itself ends a list at a container that is larger than it sends. Those behind it are asked about singly.
func TestAListThatContainerdEnds(t *testing.T) {
	s := newServer()
	s.add("default/a", webSpec)
	s.add("default/known", webSpec)
	i := serve(t, s, false)
	require.Equal(t, []string{"default/a", "default/known"}, ids(t, i))
	s.add("default/huge", webSpec)
	s.runs("default/huge", 2, "")
	s.add("default/new", webSpec)
	s.runs("default/new", 2, "")
	s.exhausted = "default/huge"
	all, err := i.List(t.Context())
	var large *containers.TooLarge
	require.ErrorAs(t, err, &large)
	require.Equal(t, []string{"default/huge"}, large.IDs)
	require.Len(t, all, 3)

	s.failing["containers.v1.Containers/Get"] = "14" // it is too busy, or the time for a list is over
	for range 2 {
		all, err = i.List(t.Context())
		require.ErrorAs(t, err, &large)
		require.Equal(t, []string{"default/huge"}, large.IDs)
		require.Len(t, all, 3, "none is taken to be gone")
	}
	s.add("other/a", webSpec)
	s.failing = map[string]string{"containers.v1.Containers/ListStream default": "14"}
	all, err = i.List(t.Context())
	require.ErrorAs(t, err, &large)
	require.Equal(t, []string{"default/huge"}, large.IDs)
	require.Len(t, all, 4)
	delete(s.containers, "default/huge")
	s.failing, s.exhausted = map[string]string{}, ""
	_, err = i.List(t.Context())
	require.NoError(t, err)
}

// What a shim that hangs could not tell of a new container is asked for again.
func TestAShimThatHungOnce(t *testing.T) {
	s := newServer()
	s.add("default/a", webSpec)
	s.runs("default/a", 2, "binary:///remora-logger")
	i := serve(t, s, false)
	s.failing["tasks.v1.Tasks/Get"] = "4"
	for range 2 {
		all, err := i.List(t.Context())
		require.NoError(t, err)
		require.True(t, all[0].Running)
		require.Empty(t, all[0].Log)
	}
	delete(s.failing, "tasks.v1.Tasks/Get")
	for range 2 {
		all, err := i.List(t.Context())
		require.NoError(t, err)
		require.Equal(t, "remora-logger", all[0].Log.Driver)
		require.Equal(t, 77, all[0].Files.Process)
	}
	asked := slices.DeleteFunc(s.asked, func(call string) bool { return call != "tasks.v1.Tasks/Get default/a" })
	require.Len(t, asked, 3)
}

// A shim that hangs delays the list of tasks, not that of containers.
func TestAShimThatHangs(t *testing.T) {
	s := newServer()
	s.hang = make(chan struct{})
	t.Cleanup(func() { close(s.hang) })
	s.add("default/a", webSpec)
	s.runs("default/a", 2, "")
	s.add("default/ended", webSpec)
	s.add("default/created", webSpec)
	s.runs("default/created", 1, "")
	s.add("default/hangs", webSpec)
	s.runs("default/hangs", 0, "")
	i := serve(t, s, false)
	i.tasksTimeout = time.Millisecond
	for range 2 {
		all, err := i.List(t.Context())
		require.NoError(t, err)
		running := map[string]bool{}
		for _, c := range all {
			running[c.ID] = c.Running
		}
		require.Equal(t, map[string]bool{"default/a": true, "default/ended": false, "default/created": false, "default/hangs": true}, running)
	}
	require.Equal(t, 1, s.inspected("default/a"), "what is known is not asked for again")
}

// A record that has changed, of which no event told, is read again.
func TestAChangedRecord(t *testing.T) {
	s := newServer()
	s.add("default/a", webSpec, "nerdctl/name", "before")
	i := serve(t, s, false)
	ids(t, i)
	s.add("default/a", webSpec, "nerdctl/name", "after")
	s.containers["default/a"] = s.containers["default/a"].Text(9, "2")
	all, err := i.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, "after", all[0].Name)
}

func envelope(namespace, topic string, event message) message {
	return message(nil).Text(1, "").Text(2, namespace).Text(3, topic).Text(4, string(message(nil).Text(1, "type").Text(2, string(event))))
}

func TestEvents(t *testing.T) {
	s := newServer()
	i := serve(t, s, false)
	got := make(chan string, 9)
	broke := make(chan error)
	go func() { broke <- i.Watch(t.Context(), func(id string) { got <- id }) }()
	require.Empty(t, <-got)
	s.events <- envelope("default", "/tasks/start", message(nil).Text(1, "a").Number(2, 77))
	require.Equal(t, "default/a", <-got)
	s.events <- envelope("moby", "/tasks/start", message(nil).Text(1, "b"))
	s.events <- envelope("default", "/tasks/exit", message(nil).Text(1, "a").Text(2, "probe"))
	s.events <- envelope("default", "/tasks/exit", message(nil).Text(1, "a").Text(2, "a"))
	require.Equal(t, "default/a", <-got)
	s.events <- envelope("default", "/containers/create", message(nil).Text(1, "c").Text(2, "image"))
	require.Equal(t, "default/c", <-got)
	require.Empty(t, <-got, "and again what came before the subscription took effect")
	s.events <- message{0xff}
	require.ErrorContains(t, <-broke, "no message")
}

func TestRefusals(t *testing.T) {
	s := newServer()
	s.add("default/a", webSpec)
	i := serve(t, s, false)
	for _, method := range []string{"namespaces.v1.Namespaces/List", "containers.v1.Containers/ListStream", "containers.v1.Containers/Get"} {
		s.failing[method] = "14"
		all, err := i.List(t.Context())
		if method == "containers.v1.Containers/Get" {
			require.NoError(t, err)
			require.Empty(t, all)
		} else {
			require.ErrorContains(t, err, "refuses")
		}
		delete(s.failing, method)
	}
	s.containers["default/a"] = message{0x0a}
	_, err := i.List(t.Context())
	require.Error(t, err)
	_, err = New("/nowhere", "", false).List(t.Context())
	require.ErrorContains(t, err, "/nowhere")
	require.Error(t, New("/nowhere", "", false).Watch(t.Context(), func(string) {}))
}

// A namespace that can't be listed hides no other, and its containers stay as they were.
func TestANamespaceThatCannotBeListed(t *testing.T) {
	s := newServer()
	s.add("damaged/a", webSpec, "nerdctl/name", "web")
	s.add("default/b", webSpec)
	i := serve(t, s, false)
	require.Equal(t, []string{"damaged/a", "default/b"}, ids(t, i))
	s.failing["containers.v1.Containers/ListStream damaged"] = "13"
	s.add("default/new", webSpec)
	for range 2 {
		all, err := i.List(t.Context())
		var incomplete *containers.Incomplete
		require.ErrorAs(t, err, &incomplete)
		require.ErrorContains(t, err, "namespace damaged")
		names := map[string]string{}
		for _, c := range all {
			names[c.ID] = c.Name
		}
		require.Equal(t, map[string]string{"damaged/a": "web", "default/b": "b", "default/new": "new"}, names)
	}
}

func TestOutput(t *testing.T) {
	for uri, want := range map[string]containers.Log{
		"binary:///usr/local/bin/remora-logger?target=x&tags=a%3Db": {Driver: "remora-logger", Options: map[string]string{"target": "x", "tags": "a=b"}},
		"binary-v2:///remora-logger":                                {Driver: "remora-logger"},
		"file:///var/log/x":                                         {Driver: "file"}, "fifo:///run/x": {Driver: "fifo"},
		"/run/containerd/fifo/1/a-stdout": {}, "": {}, "%zz": {}, "binary://%zz": {},
	} {
		require.Equal(t, want, output(uri), uri)
	}
}

func FuzzMessages(f *testing.F) {
	s := newServer()
	s.add("default/a", webSpec, "nerdctl/name", "web")
	f.Add([]byte(message(nil).Text(1, string(s.containers["default/a"]))))
	f.Add([]byte(envelope("default", "/tasks/exit", message(nil).Text(1, "a").Text(2, "b"))))
	spec, err := json.Marshal(containers.Spec{})
	require.NoError(f, err)
	f.Add(spec)
	f.Fuzz(func(_ *testing.T, p []byte) {
		if r, err := decodeRecord(p); err == nil {
			_ = r.container("k8s.io")
		}
		_ = (&record{spec: p}).container("default")
		_, _ = decodeTasks(p)
		_, _, _, _ = decodeMounts(p)
		_, _ = decodeEvent(p)
		_, _ = decodeNamespaces(p)
		_ = idOf(p)
	})
}

// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/node/containers"
	"github.com/remora-logs/remora/node/containers/internal/grpc"
	"github.com/remora-logs/remora/node/containers/internal/grpctest"
)

// runtime answers calls by their method.
type runtime struct {
	mu      sync.Mutex
	answers map[string]grpctest.Message
	status  map[string]string // by method; else 0
	calls   []string
}

func (r *runtime) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	method := q.URL.Path[strings.LastIndexByte(q.URL.Path, '/')+1:]
	body, _ := io.ReadAll(q.Body)
	r.calls = append(r.calls, method)
	if q.ProtoMajor != 2 || q.Header.Get("Te") != "trailers" || len(body) < 5 || int(binary.BigEndian.Uint32(body[1:])) != len(body)-5 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/grpc")
	if status := r.status[method]; status != "" { // as servers do without a message
		w.Header().Set("Grpc-Status", status)
		w.Header().Set("Grpc-Message", "it%20says%20no")
		return
	}
	w.Header().Set("Trailer", "Grpc-Status")
	answer := r.answers[method]
	_, _ = w.Write(grpctest.Frame(answer))
	w.Header().Set("Grpc-Status", "0")
}

func serve(t *testing.T, handler http.Handler) *Inventory {
	return New(grpctest.Serve(t, handler), filepath.Join(t.TempDir(), "proc"))
}

// list, web and pod are answers of containerd about one container.
var (
	list = grpctest.Message(nil).Text(1, string(grpctest.Message(nil).Text(1, "web1").Text(2, "box").Number(6, 1).Number(99, 7)))
	web  = grpctest.Message(nil).Text(1, string(grpctest.Message(nil).Text(1, "web1").Text(2, string(grpctest.Message(nil).Text(1, "web").Number(2, 3))).Number(3, 1).Number(4, 17).
		Text(8, string(grpctest.Message(nil).Text(1, "sha256:abc").Text(18, "nginx:1"))).
		Pair(12, "io.kubernetes.pod.name", "web-0").Pair(12, "io.kubernetes.pod.namespace", "shop").
		Pair(12, "io.kubernetes.pod.uid", "uid").Pair(12, "io.kubernetes.container.name", "web").
		Text(14, string(grpctest.Message(nil).Text(1, "/logs").Text(2, "/var/lib/kubelet/pods/uid/volumes/x"))).
		Text(15, "/var/log/pods/shop_web-0_uid/web/3.log").Text(17, "sha256:abc"))).
		Pair(2, "info", `{"sandboxID":"box","pid":0,"runtimeSpec":{"process":{"env":["PATH=/bin","X=1"]},"root":{"path":"rootfs"},
			"mounts":[{"destination":"/logs","type":"bind","source":"/other"},{"destination":"/data","type":"bind","source":"/var/lib/containerd/v"},
			{"destination":"/dev","type":"tmpfs","source":"tmpfs"}]}}`)
	pod = grpctest.Message(nil).Text(1, string(grpctest.Message(nil).Text(1, "box").Text(2, string(grpctest.Message(nil).Text(1, "web-0").Text(2, "uid").Text(3, "shop"))).
		Pair(7, "tier", "web").Pair(8, "aliyun.logs.app", "/logs/*.log")))
)

func answers() *runtime {
	return &runtime{answers: map[string]grpctest.Message{"ListContainers": list, "ContainerStatus": web, "PodSandboxStatus": pod}, status: map[string]string{}}
}

func TestContainer(t *testing.T) {
	r := answers()
	i := serve(t, r)
	for range 3 {
		all, err := i.List(t.Context())
		require.NoError(t, err)
		require.Equal(t, []containers.Container{{
			Runtime: "cri", ID: "web1", Name: "k8s_web_web-0_shop_uid_3", Image: "nginx:1", ImageID: "sha256:abc",
			Labels: map[string]string{"io.kubernetes.pod.name": "web-0", "io.kubernetes.pod.namespace": "shop", "io.kubernetes.pod.uid": "uid",
				"io.kubernetes.container.name": "web"},
			Env: []string{"PATH=/bin", "X=1"}, Detailed: true, Running: true, Created: time.Unix(0, 17),
			Pod: containers.Pod{Namespace: "shop", Name: "web-0", UID: "uid", Container: "web", Labels: map[string]string{"tier": "web"},
				Annotations: map[string]string{"aliyun.logs.app": "/logs/*.log"}},
			Log: containers.Log{Driver: "cri", Form: containers.CRI, Dir: "/var/log/pods/shop_web-0_uid/web", Pattern: "*.log{,.*}"},
			Files: containers.Files{Mounts: map[string]string{"/logs": "/var/lib/kubelet/pods/uid/volumes/x", "/data": "/var/lib/containerd/v"},
				Hidden: []string{"/dev"}},
		}}, all)
	}
	require.Equal(t, []string{"ListContainers", "ContainerStatus", "PodSandboxStatus", "ListContainers", "ListContainers"}, r.calls)
}

// A sandbox may be removed before its container: what the labels tell is enough.
func TestNoSandbox(t *testing.T) {
	r := answers()
	r.status["PodSandboxStatus"] = "5"
	c, err := serve(t, r).Inspect(t.Context(), "web1")
	require.NoError(t, err)
	require.Equal(t, "web-0", c.Pod.Name)
	require.Nil(t, c.Pod.Annotations)
}

func TestCRIO(t *testing.T) {
	r := answers()
	r.answers["ContainerStatus"] = grpctest.Message(nil).Text(1, string(grpctest.Message(nil).Text(1, "a"))).
		Pair(2, "info", `{"sandboxID":"box","pid":1,"runtimeSpec":{"process":{},"root":{"path":"/var/lib/containers/storage/overlay/x/merged"}}}`)
	c, err := serve(t, r).Inspect(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, "/var/lib/containers/storage/overlay/x/diff", c.Files.Upper)
	require.Equal(t, containers.Pod{Namespace: "shop", Name: "web-0", UID: "uid", Labels: map[string]string{"tier": "web"},
		Annotations: map[string]string{"aliyun.logs.app": "/logs/*.log"}}, c.Pod)
}

func TestRefusals(t *testing.T) {
	r := answers()
	i := serve(t, r)
	r.status["ContainerStatus"] = "5"
	_, err := i.Inspect(t.Context(), "gone")
	require.ErrorIs(t, err, containers.ErrGone)
	r.status["ListContainers"] = "12"
	_, err = i.List(t.Context())
	require.ErrorIs(t, err, ErrNone)
	r.status["ListContainers"] = "14"
	_, err = i.List(t.Context())
	require.ErrorContains(t, err, "it says no")
	delete(r.status, "ListContainers")
	for _, wrong := range []grpctest.Message{{0xff}, {0x0a, 0x7f}, grpctest.Message(nil).Text(1, "\x0a\x05x")} {
		r.answers["ListContainers"] = wrong
		_, err = i.List(t.Context())
		require.Error(t, err)
	}
	_, err = New("/nowhere", "").List(t.Context())
	require.ErrorContains(t, err, "/nowhere")
}

// Whoever listens there, it is an error.
func TestSomebodyElse(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"no gRPC": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) },
		"too short": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			_, _ = w.Write([]byte{0, 0})
		},
		"too long": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			_, _ = w.Write([]byte{0, 0xff, 0xff, 0xff, 0xff})
		},
		"compressed": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc+proto")
			_, _ = w.Write([]byte{1, 0, 0, 0, 0})
		},
		"no status": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			_, _ = w.Write([]byte{0, 0, 0, 0, 0})
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := serve(t, handler).List(t.Context())
			require.Error(t, err)
		})
	}
}

func TestChanges(t *testing.T) {
	var got []string
	changes(map[string]bool{"same": true, "ended": true, "gone": false}, map[string]bool{"same": true, "ended": false, "new": true},
		func(id string) { got = append(got, id) })
	require.ElementsMatch(t, []string{"ended", "gone", "new"}, got)
}

// A runtime that takes a request and never answers holds up nobody for longer than a request may take.
func TestARuntimeThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := New("/s", "")
		near, far := net.Pipe()
		defer far.Close()
		i.client = grpc.New("/s", func(context.Context, string) (net.Conn, error) { return near, nil })
		go func() { _, _ = io.Copy(io.Discard, far) }()
		begun := time.Now()
		_, err := i.List(t.Context())
		require.Error(t, err)
		require.LessOrEqual(t, time.Since(begun), askTimeout)
		i.client.Close()
	})
}

func FuzzMessages(f *testing.F) {
	f.Add([]byte(list))
	f.Add([]byte(web))
	f.Add([]byte(pod))
	f.Fuzz(func(_ *testing.T, p []byte) {
		_, _ = decodeList(p)
		s, _ := decodeStatus(p)
		box, _ := decodeSandbox(p)
		_ = s.container(box)
	})
}

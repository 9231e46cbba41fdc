// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/node/containers"
)

// server is an API server of which a test says what it answers.
type server struct {
	mu     sync.Mutex
	pods   string
	watch  []string
	others map[string]string // by path
	asked  []string
	down   bool // the questions about others are not answered
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.URL.String())
	switch {
	case r.Header.Get("Authorization") != "Bearer secret":
		w.WriteHeader(http.StatusUnauthorized)
	case r.URL.Path == "/api/v1/pods" && r.URL.Query().Get("watch") == "":
		fmt.Fprint(w, s.pods)
	case r.URL.Path == "/api/v1/pods":
		for _, e := range s.watch {
			fmt.Fprintln(w, e)
		}
		s.watch = nil
	case strings.Contains(r.URL.Path, "secrets"):
		panic("a Secret was asked for")
	case s.down:
		w.WriteHeader(http.StatusInternalServerError)
	default:
		answer, ok := s.others[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusForbidden)
			answer = `{"message":"forbidden"}`
		}
		fmt.Fprint(w, answer)
	}
}

func inventory(t *testing.T, s *server) *Inventory {
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("secret\n"), 0o600))
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	host := t.TempDir()
	see := func(path string) string { return filepath.Join(host, path) }
	require.NoError(t, os.MkdirAll(see("/var/lib/kubelet/pods/uid/volumes/kubernetes.io~csi/pv-1/mount"), 0o755))
	i, err := New(Options{Server: Server{URL: h.URL, Token: token}, Node: "n1", PodLogs: "/var/log/pods", Kubelet: "/var/lib/kubelet", See: see})
	require.NoError(t, err)
	return i
}

const web = `{"metadata":{"namespace":"shop","name":"web-7d9-x","uid":"uid","resourceVersion":"7","labels":{"pod-template-hash":"7d9","tier":"web"},
  "annotations":{"aliyun.logs.a":"stdout"},"ownerReferences":[{"kind":"ReplicaSet","name":"web-7d9","controller":true}]},
 "spec":{"nodeName":"n1","containers":[{"name":"app","image":"nginx:1","env":[
   {"name":"PLAIN","value":"x"},{"name":"DIR","value":"/logs/$(PLAIN)/$(MISSING)/$$(PLAIN)"},
   {"name":"POD","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}},{"name":"TIER","valueFrom":{"fieldRef":{"fieldPath":"metadata.labels['tier']"}}},
   {"name":"CM","valueFrom":{"configMapKeyRef":{"name":"cm","key":"k"}}},{"name":"DENIED","valueFrom":{"configMapKeyRef":{"name":"no","key":"k"}}},
   {"name":"PASSWORD","valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}},{"name":"CPU","valueFrom":{"resourceFieldRef":{"resource":"limits.cpu"}}}],
  "envFrom":[{"prefix":"P_","configMapRef":{"name":"cm"}},{"secretRef":{"name":"s"}}],
  "volumeMounts":[{"name":"empty","mountPath":"/logs/"},{"name":"host","mountPath":"/h","subPath":"../../a"},{"name":"pvc","mountPath":"/data","subPathExpr":"$(POD)"},
   {"name":"secret","mountPath":"/s"},{"name":"lost","mountPath":"/l"}]}],
  "volumes":[{"name":"empty","emptyDir":{}},{"name":"host","hostPath":{"path":"/srv"}},{"name":"pvc","persistentVolumeClaim":{"claimName":"c"}},
   {"name":"secret","secret":{}},{"name":"lost","persistentVolumeClaim":{"claimName":"denied"}}]},
 "status":{"containerStatuses":[{"name":"app","imageID":"sha","restartCount":2,"state":{"running":{}}}]}}`

func TestPod(t *testing.T) {
	s := &server{pods: `{"metadata":{"resourceVersion":"7"},"items":[` + web + `]}`, others: map[string]string{
		"/api/v1/namespaces/shop/configmaps/cm":            `{"data":{"k":"v","l":"w"}}`,
		"/api/v1/namespaces/shop/persistentvolumeclaims/c": `{"spec":{"volumeName":"pv-1"}}`,
	}}
	i := inventory(t, s)
	_, err := i.list(t.Context())
	require.NoError(t, err)
	for range 3 {
		all, err := i.List(t.Context())
		require.NoError(t, err)
		require.Equal(t, []containers.Container{{
			Runtime: "kubernetes", ID: "uid/app", Name: "k8s_app_web-7d9-x_shop_uid_2", Image: "nginx:1", ImageID: "sha", Detailed: true, Running: true,
			Env:        []string{"P_k=v", "P_l=w", "PLAIN=x", "DIR=/logs/x/$(MISSING)/$(PLAIN)", "POD=web-7d9-x", "TIER=web", "CM=v"},
			Unresolved: []string{"* (Secret s)", "DENIED", "PASSWORD", "CPU"},
			Pod: containers.Pod{Namespace: "shop", Name: "web-7d9-x", UID: "uid", Container: "app",
				Labels:      map[string]string{"pod-template-hash": "7d9", "tier": "web"},
				Annotations: map[string]string{"aliyun.logs.a": "stdout"}, Owner: containers.Owner{Kind: "Deployment", Name: "web"}},
			Log: containers.Log{Driver: "cri", Form: containers.CRI, Dir: "/var/log/pods/shop_web-7d9-x_uid/app", Pattern: "*.log{,.*}"},
			Files: containers.Files{Mounts: map[string]string{"/logs": "/var/lib/kubelet/pods/uid/volumes/kubernetes.io~empty-dir/empty",
				"/h": "/srv/a", "/data": "/var/lib/kubelet/pods/uid/volumes/kubernetes.io~csi/pv-1/mount/web-7d9-x"},
				Volumes: []string{"/srv", "/var/lib/kubelet/pods/uid/volumes/kubernetes.io~csi/pv-1/mount"}},
		}}, all)
	}
	// Nobody is asked twice, refusals included, and Secrets never.
	counts := map[string]int{}
	for _, path := range s.asked {
		counts[path]++
		require.NotContains(t, path, "secrets")
	}
	for path, n := range counts {
		require.Equal(t, 1, n, path)
	}
	require.Contains(t, s.asked[0], "fieldSelector=spec.nodeName%3Dn1&resourceVersion=0")
}

// A server that can't answer for a while takes nothing away, and is asked again soon; what it says then counts.
func TestWhatWasSaidLastCountsWhileTheServerIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("the API server does not answer")
		var said map[string]string
		err, asked := down, 0
		i := &Inventory{answered: map[string]answer{}}
		ask := func() (map[string]string, error) {
			return i.ask(t.Context(), "/x", func(string) (map[string]string, error) { asked++; return said, err })
		}
		_, got := ask()
		require.ErrorIs(t, got, down)
		time.Sleep(askAgain)
		said, err = map[string]string{"k": "v"}, nil
		for range 3 {
			data, got := ask()
			require.NoError(t, got)
			require.Equal(t, said, data)
		}
		require.Equal(t, 2, asked)
		said, err = nil, down
		for range 2 * int(remember/askAgain) { // for longer than an answer counts
			time.Sleep(askAgain)
			data, got := ask()
			require.NoError(t, got)
			require.Equal(t, map[string]string{"k": "v"}, data)
		}
		err = &statusError{http.StatusForbidden, "forbidden"}
		time.Sleep(askAgain)
		data, got := ask()
		require.NoError(t, got)
		require.Equal(t, map[string]string{"k": "v"}, data)
		err = &statusError{http.StatusNotFound, "gone"}
		time.Sleep(askAgain)
		data, got = ask()
		require.NoError(t, got)
		require.Empty(t, data)
	})
}

// A failed question about a ConfigMap or a claim changes nothing of the container.
func TestAFailedQuestionChangesNoContainer(t *testing.T) {
	s := &server{pods: `{"metadata":{"resourceVersion":"7"},"items":[` + web + `]}`, others: map[string]string{
		"/api/v1/namespaces/shop/configmaps/cm":            `{"data":{"k":"v","l":"w"}}`,
		"/api/v1/namespaces/shop/persistentvolumeclaims/c": `{"spec":{"volumeName":"pv-1"}}`,
	}}
	i := inventory(t, s)
	_, err := i.list(t.Context())
	require.NoError(t, err)
	before, err := i.List(t.Context())
	require.NoError(t, err)
	s.mu.Lock()
	s.down = true
	s.mu.Unlock()
	for path, a := range i.answered {
		a.until = time.Time{}
		i.answered[path] = a
	}
	after, err := i.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, after)
}

func TestWatch(t *testing.T) {
	changedWeb := strings.Replace(web, `"resourceVersion":"7"`, `"resourceVersion":"9"`, 1)
	s := &server{pods: `{"metadata":{"resourceVersion":"7"},"items":[` + web + `]}`, watch: []string{
		`{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"8"}}}`,
		`{"type":"MODIFIED","object":` + oneLine(t, changedWeb) + `}`,
		`{"type":"DELETED","object":` + oneLine(t, changedWeb) + `}`,
		`{"type":"ERROR","object":{"code":410,"message":"too old resource version"}}`,
	}}
	i := inventory(t, s)
	var got []string
	err := i.Watch(t.Context(), func(id string) { got = append(got, id) })
	require.ErrorContains(t, err, "too old resource version")
	require.True(t, isStatus(err, http.StatusGone))
	require.Equal(t, []string{"", "uid/app", "uid/app"}, got)
	_, err = i.Inspect(t.Context(), "uid/app")
	require.ErrorIs(t, err, containers.ErrGone)
}

func oneLine(t *testing.T, text string) string {
	var v any
	require.NoError(t, json.Unmarshal([]byte(text), &v))
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return string(b)
}

func TestOwners(t *testing.T) {
	for owner, want := range map[[2]string]containers.Owner{
		{"ReplicaSet", "web-7d9"}:       {Kind: "Deployment", Name: "web"},
		{"ReplicaSet", "alone"}:         {Kind: "ReplicaSet", Name: "alone"},
		{"Job", "backup-28123456"}:      {Kind: "CronJob", Name: "backup"},
		{"Job", "migrate"}:              {Kind: "Job", Name: "migrate"},
		{"StatefulSet", "db"}:           {Kind: "StatefulSet", Name: "db"},
		{"DaemonSet", "agent-28123456"}: {Kind: "DaemonSet", Name: "agent-28123456"},
	} {
		var p pod
		require.NoError(t, json.Unmarshal(fmt.Appendf(nil, `{"metadata":{"labels":{"pod-template-hash":"7d9"},
			"ownerReferences":[{"kind":"Node","name":"n"},{"kind":%q,"name":%q,"controller":true}]}}`, owner[0], owner[1]), &p))
		require.Equal(t, want, p.owner())
	}
}

// What the kubelet runs from a file has its own UID in the names of directories.
func TestStaticPod(t *testing.T) {
	var p pod
	require.NoError(t, json.Unmarshal([]byte(`{"metadata":{"uid":"api","annotations":{"kubernetes.io/config.mirror":"hash"}}}`), &p))
	require.Equal(t, "hash", p.identity("etcd").UID)
}

func TestNoServer(t *testing.T) {
	_, err := New(Options{})
	require.ErrorContains(t, err, "NODE_NAME")
	s := &server{}
	i := inventory(t, s)
	require.NoError(t, os.WriteFile(i.options.Server.Token, []byte("wrong"), 0o600))
	require.ErrorContains(t, i.Watch(t.Context(), nil), "401")
	_, ok := InCluster(map[string]string{}, "1")
	require.False(t, ok)
	in, ok := InCluster(map[string]string{"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}, "1")
	require.True(t, ok)
	require.Equal(t, "https://[fd00::1]:443", in.URL)
}

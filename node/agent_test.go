// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/node/containers"
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/tail"
	"github.com/remora-logs/remora/shared/tail/find"
)

// told is a tailer that keeps what it is told.
type told struct {
	origins map[string]tail.Origin
	stopped map[string]bool
	calls   []string
}

func (f *told) Stopped(id string, stopped bool) { f.stopped[id] = stopped }

func (f *told) Put(o tail.Origin) []*tail.SelectionError {
	f.origins[o.ID] = o
	f.calls = append(f.calls, "put "+o.ID)
	return nil
}

func (f *told) End(id string) {
	delete(f.origins, id)
	f.calls = append(f.calls, "end "+id)
}

func (f *told) Withdraw(id string) {
	delete(f.origins, id)
	f.calls = append(f.calls, "withdraw "+id)
}

// take returns the calls since the last time.
func (f *told) take() []string {
	calls := f.calls
	f.calls = nil
	return calls
}

// newTestAgent makes an agent with the settings of environ, whose host lies in a directory of the test.
func newTestAgent(t *testing.T, environ map[string]string) (*agent, *told, *time.Time) {
	var s config.Node
	require.NoError(t, config.Load(environ, &s))
	now := time.Unix(1e9, 0)
	a := newAgent(s, host{t.TempDir()}, "node-1", declare.New(environ["PILOT_LOG_PREFIX"]), func(d declare.Declaration) []string { return d.Outputs },
		slog.New(slog.DiscardHandler))
	f := &told{origins: map[string]tail.Origin{}, stopped: map[string]bool{}}
	a.tailer, a.self, a.now = f, "", func() time.Time { return now }
	return a, f, &now
}

// web is a container of Docker.
func web() containers.Container {
	return containers.Container{
		Runtime: "docker", ID: "web1", Name: "web", Image: "nginx:1", Detailed: true, Running: true,
		Labels: map[string]string{"aliyun.logs.out": "stdout", "aliyun.logs.app": "/logs/*.log"},
		Log:    containers.Log{Driver: "json-file", Form: containers.JSONFile, Dir: "/var/lib/docker/containers/web1", Pattern: "web1-json.log{,.*}"},
		Files:  containers.Files{Upper: "/overlay/u", Mounts: map[string]string{"/logs": "/volumes/logs", "/etc/hosts": "/hosts"}},
	}
}

// pod is a container of a Pod, as a runtime reports it.
func pod() containers.Container {
	return containers.Container{
		Runtime: "cri", ID: "c1", Name: "k8s_app_web-0_shop_uid_0", Image: "shop:1", Detailed: true, Running: true, Created: time.Unix(1, 0),
		Env: []string{"aliyun_logs_out=stdout"},
		Pod: containers.Pod{Namespace: "shop", Name: "web-0", UID: "uid", Container: "app"},
		Log: containers.Log{Driver: "cri", Form: containers.CRI, Dir: "/var/log/pods/shop_web-0_uid/app", Pattern: containers.PodLogs},
	}
}

// listed is the same container as the kubelet's directory tells of it.
func listed() containers.Container {
	c := pod()
	return containers.Container{Runtime: "podlogs", ID: "shop_web-0_uid/app", Running: true, Pod: c.Pod, Log: c.Log}
}

func tags(all []record.Tag) map[string]string {
	m := map[string]string{}
	for _, t := range all {
		m[t.Key] = t.Value
	}
	return m
}

func TestAContainerOfDocker(t *testing.T) {
	a, f, _ := newTestAgent(t, nil)
	require.NoError(t, os.MkdirAll(filepath.Join(a.host.root, "volumes/logs"), 0o755))
	a.Found(web())
	require.Equal(t, []string{"put files/docker/web", "put log/json-file/web1"}, f.take())
	out := f.origins["log/json-file/web1"]
	require.Len(t, out.Selections, 1)
	require.Equal(t, filepath.Join(a.host.root, "var/lib/docker/containers/web1/web1-json.log{,.*}"), out.Selections[0].Pattern)
	require.Equal(t, map[string]string{"docker_container": "web", "container_id": "web1", "image": "nginx:1", "host": "node-1"},
		tags(a.routes.get("log/json-file/web1").writer))
	require.Equal(t, "/logs/*.log", f.origins["files/docker/web"].Selections[0].Pattern)
	require.Equal(t, "/ at /overlay/u, /logs at /volumes/logs", a.subjects["docker/web"].put["files/docker/web"].way)

	a.Found(web())
	require.Empty(t, f.take(), "nothing has changed")
	changed := web()
	changed.Labels = map[string]string{"aliyun.logs.out": "stdout"}
	a.Found(changed)
	require.Equal(t, []string{"withdraw files/docker/web"}, f.take())
	a.Removed("docker", "web1")
	require.Equal(t, []string{"end log/json-file/web1"}, f.take())
	require.Empty(t, a.subjects)
	require.Empty(t, a.subjectOf)
}

// The directory alone tells enough for rules; who knows the declarations has two seconds.
func TestNobodyIsWaitedForLong(t *testing.T) {
	a, f, now := newTestAgent(t, map[string]string{"REMORA_DEFAULT_COLLECT": "stdout"})
	a.Found(listed())
	require.Empty(t, f.take())
	*now = now.Add(answerTime)
	a.Found(listed())
	require.Equal(t, []string{"put log/uid/app"}, f.take())
	require.Equal(t, "stdout", f.origins["log/uid/app"].Selections[0].Name)
	require.Equal(t, map[string]string{"k8s_pod": "web-0", "k8s_pod_namespace": "shop", "k8s_pod_uid": "uid", "k8s_container_name": "app",
		"k8s_node_name": "node-1", "host": "node-1"}, tags(a.routes.get("log/uid/app").writer))
	// The answer comes late: the same files go on, under what it declares.
	a.Found(pod())
	require.Equal(t, []string{"put log/uid/app"}, f.take())
	require.Equal(t, "out", f.origins["log/uid/app"].Selections[0].Name)
}

// The runtime forgets a container, and the directory is still there; then it is not.
func TestAPodEndsWhenNobodyKnowsIt(t *testing.T) {
	a, f, _ := newTestAgent(t, nil)
	a.Found(listed())
	a.Found(pod())
	require.Equal(t, []string{"put log/uid/app"}, f.take())
	a.Removed("podlogs", "shop_web-0_uid/app")
	require.Empty(t, f.take())
	a.Removed("cri", "c1")
	require.Equal(t, []string{"end log/uid/app"}, f.take())
	a.Removed("cri", "c1")
	a.Removed("docker", "nobody")
	require.Empty(t, f.take())
}

// A container that is restarted in its Pod is the same subject: positions in its volumes remain valid. log-pilot sent everything
// twice (its reports 204 and 218).
func TestARestartInThePod(t *testing.T) {
	a, f, _ := newTestAgent(t, nil)
	first := pod()
	first.Env = []string{"aliyun_logs_app=/logs/*.log"}
	first.Files = containers.Files{Upper: "/overlay/1"}
	a.Found(first)
	require.Equal(t, []string{"put files/uid/app"}, f.take())
	second := first
	second.ID, second.Created, second.Files = "c2", time.Unix(2, 0), containers.Files{Upper: "/overlay/2"}
	first.Running = false
	a.Found(first)
	require.Empty(t, f.take())
	a.Found(second)
	require.Equal(t, []string{"put files/uid/app"}, f.take())
	require.Equal(t, "/ at /overlay/2", a.subjects["uid/app"].put["files/uid/app"].way)
	a.Removed("cri", "c1")
	require.Empty(t, f.take())
}

func TestWhatIsLeftOut(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*containers.Container)
		want   string
	}{
		"this agent":           {func(c *containers.Container) { c.ID = "me" }, "it is this agent"},
		"another agent":        {func(c *containers.Container) { c.Env = append(c.Env, "REMORA_IMAGE=node") }, "it is an agent of Remora"},
		"an agent by its name": {func(c *containers.Container) { c.Image = "registry:5000/x/remora-node:1.2@sha256:0" }, "it is an agent of Remora"},
		"an annotation":        {func(c *containers.Container) { c.Pod.Annotations = map[string]string{excludeKey: "true"} }, "its Pod is annotated remora.io/exclude: \"true\""},
		"a label":              {func(c *containers.Container) { c.Labels = map[string]string{excludeKey: "true"} }, "it is labelled remora.io/exclude=true"},
		"not so":               {func(c *containers.Container) { c.Labels = map[string]string{excludeKey: "false"} }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a, f, _ := newTestAgent(t, nil)
			a.self = "me"
			of := pod()
			c.change(&of)
			a.Found(of)
			require.Equal(t, c.want, a.subjects["uid/app"].left)
			require.Equal(t, c.want == "", len(f.origins) == 1)
		})
	}
}

// What a sidecar's environment declares is the sidecar's; a rule that chooses it is the operator's.
func TestASidecarsDeclarationsAreItsOwn(t *testing.T) {
	a, f, _ := newTestAgent(t, nil)
	of := pod()
	of.Env = append(of.Env, "REMORA_IMAGE=sidecar")
	a.Found(of)
	require.Empty(t, f.origins)
	all, problems := a.dialect.Rules(declare.ReadFile("r", []byte("collect: [{name: r, match: {}, logs: {console: stdout}}]")))
	a.setRules(all, problems)
	require.Equal(t, "console", f.origins["log/uid/app"].Selections[0].Name)
}

func TestRulesChooseContainers(t *testing.T) {
	a, f, _ := newTestAgent(t, nil)
	quiet := pod()
	quiet.Env = nil
	quiet.Pod.Labels = map[string]string{"tier": "web"}
	a.Found(quiet)
	require.Empty(t, f.take())
	set := func(text string) {
		rules, problems := a.dialect.Rules(declare.ReadFile("r", []byte(text)))
		require.Empty(t, problems)
		a.setRules(rules, problems)
	}
	set("collect: [{name: r, match: {namespace: shop, label: {tier: web}}, logs: {console: stdout}}, {name: h, host: true, logs: {syslog: /var/log/syslog}}]")
	require.Equal(t, []string{"put host/h", "put log/uid/app"}, f.take())
	require.Equal(t, map[string]string{"host": "node-1"}, tags(a.routes.get("host/h").writer))
	set("collect: [{name: r, match: {namespace: other}, logs: {console: stdout}}]")
	require.Equal(t, []string{"withdraw host/h", "withdraw log/uid/app"}, f.take())
}

// A problem of one declaration is told, and the others are collected: with another log driver log-pilot read /host/.* (125).
func TestProblemsOfOneContainer(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*containers.Container)
		want   string
	}{
		"journald":        {func(c *containers.Container) { c.Log = containers.Log{Driver: "journald"} }, "out its log driver journald stores nothing that can be read"},
		"our own driver":  {func(c *containers.Container) { c.Log = containers.Log{Driver: "x/remora:1"} }, "out its log driver x/remora:1 delivers its output already"},
		"no volume":       {func(c *containers.Container) { c.Files = containers.Files{} }, "app /logs/*.log lies in the container's root file system"},
		"hidden volume":   {func(c *containers.Container) { c.Files.Mounts = map[string]string{"/logs": "/nowhere"} }, "/logs the volume is not visible here"},
		"wrong format":    {func(c *containers.Container) { c.Labels["aliyun.logs.app.format"] = "yaml" }, "aliyun.logs.app.format "},
		"value of Secret": {func(c *containers.Container) { c.Unresolved = []string{"aliyun_logs_x", "PASSWORD"} }, "aliyun_logs_x its value is in a Secret"},
	} {
		t.Run(name, func(t *testing.T) {
			a, f, _ := newTestAgent(t, nil)
			of := web()
			c.change(&of)
			a.Found(of)
			var text []string
			for _, p := range a.subjects["docker/web"].problems {
				text = append(text, p.Key+" "+p.Message)
			}
			all := strings.Join(text, "\n")
			require.Contains(t, all, c.want)
			require.NotContains(t, all, "PASSWORD")
			require.NotEmpty(t, f.origins, "what is right is collected")
		})
	}
}

// A container that is renamed is another subject; nothing of the first is left.
func TestRename(t *testing.T) {
	a, f, _ := newTestAgent(t, nil)
	a.Found(web())
	f.take()
	renamed := web()
	renamed.Name = "shop"
	a.Found(renamed)
	require.ElementsMatch(t, []string{"end files/docker/web", "end log/json-file/web1", "put files/docker/shop", "put log/json-file/web1"}, f.take())
	require.Equal(t, []string{"docker/shop"}, slices.Collect(maps.Keys(a.subjects)))
}

// Ten thousand containers that were created and removed leave nothing: configurations of dead ones stayed in log-pilot (334).
func TestContainersThatAreGoneLeaveNothing(t *testing.T) {
	a, f, _ := newTestAgent(t, nil)
	for n := range 10_000 {
		c := web()
		c.ID, c.Name = fmt.Sprint("id", n), fmt.Sprint("name", n)
		c.Log.Dir = "/var/lib/docker/containers/" + c.ID
		a.Found(c)
		a.Removed("docker", c.ID)
	}
	require.Empty(t, a.subjects)
	require.Empty(t, a.subjectOf)
	require.Empty(t, f.origins)
}

func TestPodUnderCRIDockerd(t *testing.T) {
	a, f, _ := newTestAgent(t, nil)
	a.Found(listed())
	d := web()
	d.Labels = map[string]string{"aliyun.logs.out": "stdout"}
	d.Pod = listed().Pod
	a.Found(d)
	require.Equal(t, []string{"put log/json-file/web1"}, f.take(), "the files of the Pod's directory are links to Docker's")
}

func TestLabelsAndOwnerBecomeTags(t *testing.T) {
	a, _, _ := newTestAgent(t, map[string]string{"REMORA_LABEL_TAGS": "tier,team", "NODE_NAME": "n7", "HOST_IP": "10.0.0.7"})
	a.Found(pod())
	k := pod()
	k.Runtime, k.ID, k.Pod.Labels, k.Pod.Owner = "kubernetes", "uid/app", map[string]string{"tier": "web"}, containers.Owner{Kind: "Deployment", Name: "web"}
	a.Found(k)
	r := a.routes.get("log/uid/app")
	require.Equal(t, map[string]string{"tier": "web"}, tags(r.tags))
	w := tags(r.writer)
	require.Equal(t, "Deployment web n7 10.0.0.7 c1 k8s_app_web-0_shop_uid_0", strings.Join([]string{w["k8s_owner_kind"], w["k8s_owner_name"], w["k8s_node_name"], w["host_ip"],
		w["container_id"], w["docker_container"]}, " "))
}

func TestAnnotationsNameTheirContainer(t *testing.T) {
	a, f, _ := newTestAgent(t, nil)
	of := pod()
	of.Env, of.Pod.Annotations = nil, map[string]string{"aliyun.logs.a": "stdout", "aliyun.logs.a.container": "other", "aliyun.logs.b": "stdout"}
	a.Found(of)
	require.Len(t, f.origins["log/uid/app"].Selections, 1)
	require.Equal(t, "b", f.origins["log/uid/app"].Selections[0].Name)
}

func TestConcerns(t *testing.T) {
	of := func(pattern string) []declare.Declaration { return []declare.Declaration{{Source: pattern}} }
	for _, c := range []struct {
		pattern, mount string
		want           bool
	}{
		{"/logs/*.log", "/logs", true}, {"/logs/a/*.log", "/logs", true}, {"/logs/*.log", "/log", false}, {"/a/**/*.log", "/a/b", true},
		{"/a/*/x.log", "/a/b", true}, {"/a/x.log", "/a/b", false}, {"/*.log", "/etc/hosts", false}, {"/a{b,c}/x.log", "/ab", true},
	} {
		require.Equal(t, c.want, concerns(of(c.pattern), c.mount), "%s in %s", c.pattern, c.mount)
	}
}

func TestOwnContainer(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	require.Equal(t, id, containerID("1 2 8:1 /var/lib/docker/containers/"+id+"/hostname /etc/hostname rw - ext4 /dev/sda rw\n"))
	require.Empty(t, containerID("1 2 8:1 / /etc/hostname rw - ext4 /dev/sda rw\n1 2"))
}

// A restart while the runtime is down stops no collection. What it then says counts.
func TestContainersAreRemembered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "containers.json")
	asked := []string{"docker", "cri"}
	a, _, _ := newTestAgent(t, nil)
	a.recall(path, asked)
	c := web()
	c.Env = []string{"PASSWORD=secret", "aliyun_logs_more=/logs/*.txt"}
	c.Labels["token"] = "secret"
	c.Labels["com.docker.compose.project"] = "shop"
	a.Found(c)
	a.Found(pod())
	a.remember(path)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NotContains(t, string(content), "secret")
	require.Contains(t, string(content), "shop")
	require.Equal(t, "secret", c.Labels["token"], "what is in use is not changed")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())

	a, f, _ := newTestAgent(t, nil)
	a.recall(path, nil)
	require.Empty(t, f.take(), "of runtimes that are not asked any more")
	a.recall(path, asked)
	require.ElementsMatch(t, []string{"put files/docker/web", "put log/json-file/web1", "put log/uid/app"}, f.take())
	a.Listed("docker", nil, errors.New("connection refused"))
	require.Empty(t, f.take())
	again := web()
	again.Labels["com.docker.compose.project"] = "shop"
	a.Found(again)
	a.Listed("docker", nil, nil)
	require.Equal(t, []string{"put files/docker/web"}, f.take(), "the environment is another")
	a.Listed("cri", nil, nil)
	require.Equal(t, []string{"end log/uid/app"}, f.take())
	a.Listed("cri", nil, nil)
	require.Empty(t, f.take())

	for _, wrong := range []string{"", "{", "[7]"} {
		require.NoError(t, os.WriteFile(path, []byte(wrong), 0o600))
		a, f, _ = newTestAgent(t, nil)
		a.recall(path, asked)
		require.Empty(t, f.take())
	}
}

// The list that log-pilot's users mount: a topic that is not on it is refused, alone.
func TestTopics(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kafka_topics")
	require.NoError(t, os.WriteFile(path, []byte("out, other\n"), 0o600))
	a, f, _ := newTestAgent(t, nil)
	var err error
	a.topics, err = topics([]string{"/nowhere", path})
	require.NoError(t, err)
	a.outputs = func(declare.Declaration) []string { return []string{"kafka"} }
	a.Found(web())
	require.Equal(t, []string{"put log/json-file/web1"}, f.take())
	require.Equal(t, "the topic app is not one of those that kafka_topics lists", a.subjects["docker/web"].problems[0].Message)
	none, err := topics([]string{"/nowhere"})
	require.NoError(t, err)
	require.Nil(t, none)
}

// The runtime forgets a container at once, the kubelet removes its output up to a minute later: it is read until then.
func TestWhatAContainerDeclaredIsKnownUntilItsOutputIsGone(t *testing.T) {
	a, f, _ := newTestAgent(t, nil)
	a.Found(listed())
	a.Found(pod())
	require.Equal(t, []string{"put log/uid/app"}, f.take())
	a.Removed("cri", "c1")
	require.Empty(t, f.take())
	a.setRules(nil, nil)
	require.Empty(t, f.take())
	a.Removed("podlogs", "shop_web-0_uid/app")
	require.Equal(t, []string{"end log/uid/app"}, f.take())

	// One that declares something else in its next life is evaluated by that.
	a.Found(listed())
	a.Found(pod())
	f.take()
	a.Removed("cri", "c1")
	next := pod()
	next.ID, next.Env = "c2", nil
	a.Found(next)
	require.Equal(t, []string{"withdraw log/uid/app"}, f.take())
	a.Removed("cri", "c2")
	a.Removed("podlogs", "shop_web-0_uid/app")
	require.Empty(t, a.subjects)
}

// A volume that is mounted late, or did not answer, is searched for again: log-pilot lost an emptyDir for good (143).
func TestAVolumeThatComesLate(t *testing.T) {
	a, f, now := newTestAgent(t, nil)
	a.Found(web())
	f.take()
	s := a.subjects["docker/web"]
	require.Equal(t, "/ at /overlay/u", s.put["files/docker/web"].way)
	require.NotEmpty(t, s.problems)
	require.NoError(t, os.MkdirAll(filepath.Join(a.host.root, "volumes/logs"), 0o755))
	require.True(t, s.retry.After(*now))
	a.evaluate(s)
	require.Equal(t, []string{"put files/docker/web"}, f.take())
	require.Empty(t, s.problems)
	require.True(t, s.retry.IsZero())
}

func TestALookThatIsNotAnswered(t *testing.T) {
	var l prober
	dir := t.TempDir()
	found, err := l.find(host{}, dir)
	require.NoError(t, err)
	require.True(t, found.isDir)
	waiting := prober{waiting: map[string]bool{dir: true}}
	_, err = waiting.find(host{}, dir)
	require.ErrorIs(t, err, errSilent)
	_, err = waiting.find(host{}, filepath.Join(dir, "missing"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// A Pod of a StatefulSet that is replaced by one of its name reads its volume on where it was, and the end of the first does
// not end the second's.
func TestAPodThatIsReplaced(t *testing.T) {
	a, f, _ := newTestAgent(t, nil)
	member := func(uid string, created int64) containers.Container {
		c := pod()
		c.ID, c.Pod.UID, c.Created = "c"+uid, uid, time.Unix(created, 0)
		c.Env = []string{"aliyun_logs_app=/logs/*.log"}
		c.Pod.Labels = map[string]string{"statefulset.kubernetes.io/pod-name": "web-0"}
		return c
	}
	first := member("1", 1)
	a.Found(first)
	require.Equal(t, []string{"put files/shop/web-0/app"}, f.take())
	first.Running = false
	a.Found(first)
	a.Found(member("2", 2))
	require.Equal(t, []string{"put files/shop/web-0/app"}, f.take())
	a.Found(first)
	a.Removed("cri", "c1")
	require.Empty(t, f.take())
	a.Removed("cri", "c2")
	require.Equal(t, []string{"end files/shop/web-0/app"}, f.take())
	require.Empty(t, a.claims)
}

// Of two Pods of one name the younger has the files; when it is gone before the older, the older has them again.
func TestTheOlderPodHasItsFilesBack(t *testing.T) {
	for name, late := range map[string]bool{"the younger came later": false, "the younger came first": true} {
		t.Run(name, func(t *testing.T) {
			a, f, _ := newTestAgent(t, nil)
			member := func(uid string, created int64) containers.Container {
				c := pod()
				c.ID, c.Pod.UID, c.Created = "c"+uid, uid, time.Unix(created, 0)
				c.Env = []string{"aliyun_logs_app=/logs/*.log"}
				c.Pod.Labels = map[string]string{"statefulset.kubernetes.io/pod-name": "web-0"}
				c.Files.Upper = "/overlay/" + uid
				return c
			}
			const id = "files/shop/web-0/app"
			at := func(uid string) bool {
				return f.origins[id].Root.Equal(find.Container(filepath.Join(a.host.root, "overlay", uid), nil, nil))
			}
			all := []containers.Container{member("1", 1), member("2", 2)}
			if late {
				slices.Reverse(all)
			}
			for _, c := range all {
				a.Found(c)
			}
			require.True(t, at("2"))
			f.take()
			a.setRules(nil, nil)
			require.Empty(t, f.take(), "nobody's are taken over and over")
			a.Removed("cri", "c2")
			require.Equal(t, []string{"put " + id}, f.take())
			require.True(t, at("1"))
			a.Removed("cri", "c1")
			require.Equal(t, []string{"end " + id}, f.take())
			require.Empty(t, a.claims)
			require.Empty(t, a.subjects)
		})
	}
}

// One that declares nothing any more gives the files back, too.
func TestFilesThatTheYoungerPodGivesUp(t *testing.T) {
	a, f, _ := newTestAgent(t, nil)
	member := func(uid string, created int64) containers.Container {
		c := pod()
		c.ID, c.Pod.UID, c.Created = "c"+uid, uid, time.Unix(created, 0)
		c.Env = []string{"aliyun_logs_app=/logs/*.log"}
		c.Pod.Labels = map[string]string{"statefulset.kubernetes.io/pod-name": "web-0"}
		return c
	}
	a.Found(member("1", 1))
	younger := member("2", 2)
	a.Found(younger)
	f.take()
	younger.Env = nil
	a.Found(younger)
	require.Contains(t, f.origins, "files/shop/web-0/app")
	require.NotContains(t, f.take(), "withdraw files/shop/web-0/app")
}

func TestNamesThatOutliveAContainer(t *testing.T) {
	for want, v := range map[string]containers.Container{
		"files/key": {Pod: containers.Pod{Namespace: "ns", Name: "web-7d9-x", Container: "c", Labels: map[string]string{"pod-template-hash": "7d9"}}},
		"files/ns/agent/c": {Pod: containers.Pod{Namespace: "ns", Name: "agent-x7k2p", Container: "c",
			Labels: map[string]string{"controller-revision-hash": "1", "pod-template-generation": "1"}}},
		"files/ns/db-0/c":    {Pod: containers.Pod{Namespace: "ns", Name: "db-0", Container: "c", Labels: map[string]string{"statefulset.kubernetes.io/pod-name": "db-0"}}},
		"files/swarm/shop.1": {Labels: map[string]string{"com.docker.swarm.task.name": "shop.1.x7k2p"}},
	} {
		require.Equal(t, want, (&subject{key: "key"}).filesID(&view{Container: v}))
	}
}

// Compose creates a container under another name than it starts it: its volumes are not read before.
func TestAContainerThatWaits(t *testing.T) {
	a, f, _ := newTestAgent(t, nil)
	c := web()
	c.Running, c.Waiting = false, true
	a.Found(c)
	require.Equal(t, []string{"put log/json-file/web1"}, f.take())
	a.Found(web())
	require.Equal(t, []string{"put files/docker/web"}, f.take())
}

// A container that is stopped is still followed, and the tailer is told that nothing more is to be expected for now.
func TestAStoppedContainer(t *testing.T) {
	a, tailer, _ := newTestAgent(t, nil)
	c := web()
	const files = "files/docker/web"
	a.Found(c)
	require.False(t, tailer.stopped[files])
	c.Running = false
	a.Found(c)
	require.Contains(t, tailer.origins, files)
	require.True(t, tailer.stopped[files])
	c.Running = true
	a.Found(c)
	require.False(t, tailer.stopped[files])
}

// A single file that is mounted is followed where it lies on the host, and nothing beside it.
func TestAMountedFile(t *testing.T) {
	a, tailer, _ := newTestAgent(t, nil)
	dir := filepath.Join(a.host.root, "srv")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shop[1].log"), nil, 0o600))
	c := web()
	c.Labels = map[string]string{"aliyun.logs.app": "/app.log", "aliyun.logs.other": "/else/*.log"}
	c.Files.Mounts = map[string]string{"/app.log": "/srv/shop[1].log", "/etc/hosts": "/etc/hosts", "/else": "/srv"}
	a.Found(c)
	const id = "files/docker/web/app.log"
	require.Contains(t, tailer.origins, id)
	require.NotContains(t, tailer.origins, "files/docker/web/etc/hosts")
	o := tailer.origins[id]
	require.True(t, o.Root.Equal(find.Directory(dir)))
	require.Len(t, o.Selections, 1)
	require.Equal(t, "app", o.Selections[0].Name)
	pattern, err := find.Compile(o.Selections[0].Pattern)
	require.NoError(t, err)
	require.True(t, pattern.Selects(filepath.Join(dir, "shop[1].log")))
	require.False(t, pattern.Selects(filepath.Join(dir, "shop1.log")))
	r := a.routes.get(id)
	require.Equal(t, "/app.log", r.path(filepath.Join(dir, "shop[1].log")))
	require.Equal(t, "/app.log.1", r.path(filepath.Join(dir, "shop[1].log.1")))
	a.Removed("docker", c.ID)
	require.NotContains(t, tailer.origins, id)
	require.NotContains(t, tailer.origins, "files/docker/web")
}

// A container that may write to the directory that another mount lies in, or to the volume of a subPath, can put a link
// there. It must not lead to what is not the container's, as another Pod's tokens are not.
func TestALinkInAVolumeLeadsNowhere(t *testing.T) {
	const volume = "/pods/1/volumes/v"
	for name, c := range map[string]struct {
		mounts  map[string]string
		volumes []string
		link    string
		others  containers.Files
	}{
		"nested mounts":          {mounts: map[string]string{"/v": volume, "/logs": volume + "/logs"}, link: "/pods"},
		"a relative link":        {mounts: map[string]string{"/v": volume, "/logs": volume + "/logs"}, link: "../../../../pods"},
		"a deeper mount":         {mounts: map[string]string{"/v": volume, "/logs": volume + "/logs/2"}, link: "/pods"},
		"a subPath":              {mounts: map[string]string{"/logs": volume + "/logs"}, volumes: []string{volume}, link: "/pods"},
		"another's mount":        {mounts: map[string]string{"/logs": volume + "/logs"}, link: "/pods", others: containers.Files{Mounts: map[string]string{"/v": volume}}},
		"below a link of root's": {mounts: map[string]string{"/v": "/data" + volume, "/logs": "/data" + volume + "/logs"}, link: "/pods"},
		"a single file":          {mounts: map[string]string{"/v": volume, "/logs/app.log": volume + "/logs"}, link: "/pods/2/token"},
		"a directory of others":  {mounts: map[string]string{"/logs": "/open/logs"}, link: "/pods"},
	} {
		t.Run(name, func(t *testing.T) {
			a, f, _ := newTestAgent(t, nil)
			for _, dir := range []string{volume, "/pods/2/2", "/open"} {
				require.NoError(t, os.MkdirAll(filepath.Join(a.host.root, dir), 0o755))
			}
			require.NoError(t, os.Chmod(filepath.Join(a.host.root, "open"), 0o777))
			require.NoError(t, os.WriteFile(filepath.Join(a.host.root, "pods/2/token"), nil, 0o600))
			require.NoError(t, os.Symlink("/", filepath.Join(a.host.root, "data")))
			require.NoError(t, os.Symlink(c.link, filepath.Join(a.host.root, volume, "logs")))
			require.NoError(t, os.Symlink(c.link, filepath.Join(a.host.root, "open/logs")))
			of := web()
			of.Labels = map[string]string{"aliyun.logs.app": "/logs/**/*.log"}
			of.Files.Mounts, of.Files.Volumes = c.mounts, c.volumes
			a.Found(of)
			require.Contains(t, a.subjects["docker/web"].problems[0].Message, "not listed yet")
			if c.others.Mounts != nil {
				other := web()
				other.ID, other.Name, other.Labels, other.Files = "o", "other", nil, c.others
				a.Found(other)
			}
			a.Listed("docker", nil, nil)
			s := a.subjects["docker/web"]
			require.NotEmpty(t, s.problems)
			require.Contains(t, s.problems[0].Message, "leads through the link")
			require.Contains(t, s.problems[0].Message, "/logs")
			require.True(t, f.origins["files/docker/web"].Root.Equal(find.Container(filepath.Join(a.host.root, "overlay/u"), nil, nil)))
			require.NotContains(t, f.origins, "files/docker/web/logs/app.log")
		})
	}
}

// Where it was resolved, a volume has no links on its way: one that is made afterwards is not followed.
func TestAVolumeIsResolvedOnce(t *testing.T) {
	a, f, _ := newTestAgent(t, nil)
	dir := filepath.Join(a.host.root, "volumes/logs")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(a.host.root, "secret"), 0o755))
	a.Found(web())
	root := f.origins["files/docker/web"].Root
	require.NoError(t, root.Tree("/logs").Begin())
	for _, target := range []string{"/secret", "../secret", filepath.Join(a.host.root, "secret")} {
		require.NoError(t, os.Remove(dir))
		require.NoError(t, os.Symlink(target, dir))
		require.Error(t, root.Tree("/logs").Begin())
	}
}

// Links that the administrator made lead where they lead: a mount is not refused over them.
func TestLinksOfTheAdministrator(t *testing.T) {
	a, _, _ := newTestAgent(t, nil)
	other := web()
	other.ID, other.Name = "o", "other"
	other.Files.Mounts = map[string]string{"/host": "/", "/d": "/var/lib/docker", "/l": "/data/else"}
	a.Found(other)
	require.False(t, a.mounted(link{at: "/var/lib/docker", target: "/data/docker"}, nil))
	require.True(t, a.mounted(link{at: "/var/lib/docker/x", target: "/data/docker"}, nil))
	require.True(t, a.mounted(link{at: "/data/docker/x", target: "/"}, []link{{at: "/var/lib/docker", target: "/data/docker"}}))
}

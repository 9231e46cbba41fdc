// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/node/containers"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/manifest"
)

// newTestLabels makes labels of an agent with settings, which ask describe.
func newTestLabels(t *testing.T, environ map[string]string, describe func(context.Context, string) (containers.Container, error)) *labels {
	a, _, _ := newTestAgent(t, environ)
	return newLabels(describe, a.kept)
}

// captured is the manifest of a container that was started then.
func captured(started time.Time) *manifest.Container {
	return &manifest.Container{Namespace: "default", ID: "abc", Started: started, Options: map[string]string{"labels": "team", "labels-regex": "^app-"}}
}

// What is stored of labels are declarations, who the container is, and what settings and log options ask for: secrets are in
// the rest.
func TestWhichLabelsAreKept(t *testing.T) {
	c := nerdctls("default", "abc", "web", "")
	c.Created = time.Unix(1, 0)
	c.Labels = map[string]string{"aliyun.logs.x": "stdout", "nerdctl/name": "web", "com.docker.compose.project": "shop", "team": "a", "app-x": "1",
		"tier": "web", "password": "secret", "remora.io/exclude": "false", "nerdctl/extraHosts": "secret"}
	l := newTestLabels(t, map[string]string{"REMORA_LABEL_TAGS": "tier"}, func(_ context.Context, id string) (containers.Container, error) {
		require.Equal(t, "default/abc", id)
		return c, nil
	})
	known, err := l.ask(t.Context(), captured(time.Unix(2, 0)))
	require.NoError(t, err)
	require.Equal(t, &manifest.Known{Image: "docker.io/library/nginx:1", Labels: map[string]string{"aliyun.logs.x": "stdout", "nerdctl/name": "web",
		"com.docker.compose.project": "shop", "team": "a", "app-x": "1", "tier": "web", "remora.io/exclude": "false"}}, known)

	c.Labels["aliyun.logs.huge"] = strings.Repeat("x", maxLabels)
	large, err := l.ask(t.Context(), captured(time.Unix(2, 0)))
	require.NoError(t, err)
	require.Equal(t, known, large, "the large one alone is left out")
}

// The variables that rules ask about are kept, and no other.
func TestWhichVariablesAreKept(t *testing.T) {
	a, _, _ := newTestAgent(t, nil)
	rules, problems := a.dialect.Rules(declare.ReadFile("rules", []byte("collect: [{name: r, match: {env: {STAGE: prod}, not: {env: {DEBUG: ''}}}, logs: {x: stdout}}]")))
	require.Empty(t, problems)
	a.setRules(rules, nil)
	c := nerdctls("default", "abc", "web", "")
	c.Env = []string{"STAGE=prod", "DEBUG=1", "PASSWORD=secret", "STAGES=2", "aliyun_logs_x=stdout"}
	require.Equal(t, []string{"STAGE=prod", "DEBUG=1"}, newLabels(nil, a.kept).known(&c, nil).Env)
}

// containerd is asked again until it answers, or nobody waits.
func TestContainerdIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		l := newTestLabels(t, nil, func(context.Context, string) (containers.Container, error) {
			if asked++; asked < 4 {
				return containers.Container{}, errors.New("connection refused")
			}
			return nerdctls("default", "abc", "web", ""), nil
		})
		begun := time.Now()
		known, err := l.ask(t.Context(), captured(time.Now()))
		require.NoError(t, err)
		require.Equal(t, "docker.io/library/nginx:1", known.Image)
		require.Equal(t, 3*askAgain, time.Since(begun))

		l.describe = func(context.Context, string) (containers.Container, error) {
			return containers.Container{}, errors.New("refused")
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		_, err = l.ask(ctx, captured(time.Now()))
		require.ErrorContains(t, err, "refused")
		l.describe = func(context.Context, string) (containers.Container, error) {
			return containers.Container{}, errNotAsked
		}
		known, err = l.ask(t.Context(), captured(time.Now()))
		require.NoError(t, err)
		require.Nil(t, known)
	})
}

// A container that was removed before its log was found is remembered. One that had its ID before, or has it now, is another.
func TestAContainerThatIsGoneBeforeItsLogIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now containers.Container
		l := newTestLabels(t, nil, func(context.Context, string) (containers.Container, error) {
			if now.ID == "" {
				return now, fmt.Errorf("%w: abc", containers.ErrGone)
			}
			return now, nil
		})
		a, _, _ := newTestAgent(t, nil)
		sink := labelSink{a, l}
		began := time.Now()
		c := nerdctls("default", "abc", "web", "")
		c.Created = began
		sink.Found(c)
		sink.Found(web()) // of Docker
		time.Sleep(time.Second)
		sink.Removed("containerd", "default/abc")
		require.Len(t, l.seen, 1)

		known, err := l.ask(t.Context(), captured(began.Add(time.Millisecond)))
		require.NoError(t, err)
		require.Equal(t, "stdout", known.Labels["aliyun.logs.out"])
		for _, started := range []time.Time{began.Add(-time.Second), began.Add(time.Hour)} {
			known, err = l.ask(t.Context(), captured(started))
			require.ErrorContains(t, err, "removed")
			require.Nil(t, known)
		}
		now = nerdctls("default", "abc", "another", "")
		now.Created, now.Image = began.Add(time.Minute), "another"
		known, err = l.ask(t.Context(), captured(began.Add(time.Millisecond)))
		require.NoError(t, err)
		require.Equal(t, "docker.io/library/nginx:1", known.Image)
	})
}

// A container has ended until it runs again. A log that began after that is of its next start.
func TestAContainerThatHasEnded(t *testing.T) {
	l := newTestLabels(t, nil, nil)
	now := time.Now()
	c := nerdctls("default", "abc", "web", "")
	l.found(&c)
	require.False(t, l.exited(captured(now)))
	c.Exited = now.Add(time.Second)
	l.found(&c)
	require.True(t, l.exited(captured(now)))
	require.False(t, l.exited(captured(now.Add(time.Minute))))
	c.Exited = time.Time{}
	l.found(&c)
	require.False(t, l.exited(captured(now)))
	c.Exited = now.Add(time.Second)
	l.found(&c)
	l.removed(c.ID)
	require.Empty(t, l.exits)
}

// Containers without end, and labels without end, are not remembered without end.
func TestWhatIsRememberedIsBounded(t *testing.T) {
	l := newTestLabels(t, nil, nil)
	for n := range 3 * maxSeen {
		c := nerdctls("default", fmt.Sprint(n), "web", "")
		if n%2 == 0 {
			c.Labels["aliyun.logs.large"] = strings.Repeat("x", maxLabels-1000)
		}
		l.found(&c)
		l.found(&c)
		require.LessOrEqual(t, len(l.seen), maxSeen)
		require.LessOrEqual(t, l.bytes, maxSeenBytes)
		require.Len(t, l.order, len(l.seen))
	}
	require.NotNil(t, l.recall(fmt.Sprintf("default/%d", 3*maxSeen-1), time.Now()))
}

// described is an inventory of containerd that knows every container.
type described struct{ containers.Inventory }

func (described) Name() string { return "containerd" }

func (described) Describe(_ context.Context, id string) (containers.Container, error) {
	return containers.Container{ID: id}, nil
}

// containerd is asked as soon as its socket is there. Where it is not, or is not to be asked, nobody waits for it.
func TestContainerdIsAskedOnceItIsThere(t *testing.T) {
	dir := t.TempDir()
	f := &sources{there: map[string]string{}, log: slog.New(slog.DiscardHandler)}
	_, err := f.describe(t.Context(), "default/abc")
	require.ErrorIs(t, err, errNotAsked)
	opened := 0
	f.all = []source{{name: "docker"}, {name: "containerd", at: []string{filepath.Join(dir, "s")}, open: func(string) (containers.Inventory, error) {
		opened++
		return described{}, nil
	}}}
	_, err = f.describe(t.Context(), "default/abc")
	require.ErrorIs(t, err, errNotAsked)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "s"), nil, 0o600))
	for range 3 { // each inventory has connections of its own
		c, err := f.describe(t.Context(), "default/abc")
		require.NoError(t, err)
		require.Equal(t, "default/abc", c.ID)
	}
	f.found(&f.all[1], "s", described{})
	_, err = f.describe(t.Context(), "default/abc")
	require.NoError(t, err)
	require.Equal(t, 1, opened)
}

// SPDX-License-Identifier: Apache-2.0

package loggers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/manifest"
	"github.com/remora-logs/remora/shared/spool"
)

// asking is a spool's directory and the questions about its logs.
func asking(t *testing.T, ask Ask, keys ...string) *questions {
	dir := t.TempDir()
	for _, key := range keys {
		require.NoError(t, os.Mkdir(filepath.Join(dir, key), 0o700))
	}
	return newQuestions(dir, ask, slog.New(slog.DiscardHandler))
}

// settle scans for a container until there is nothing to wait for, and returns it and how long that took.
func settle(t *testing.T, q *questions, key string) (*manifest.Container, time.Duration) {
	begun := time.Now()
	for {
		c := &manifest.Container{ID: "c1", Namespace: "default", Labels: map[string]string{"nerdctl/name": "web"}}
		synctest.Wait()
		if q.add(t.Context(), key, c) {
			return c, time.Since(begun)
		}
		select {
		case <-q.answers:
		case <-time.After(scanInterval):
		}
	}
}

func TestLabelsAreStoredBesideTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		q := asking(t, func(context.Context, *manifest.Container) (*manifest.Known, error) {
			asked++
			time.Sleep(time.Second)
			return &manifest.Known{Image: "nginx:1", Labels: map[string]string{"aliyun.logs.x": "stdout"}}, nil
		}, "log")
		c, took := settle(t, q, "log")
		require.Equal(t, time.Second, took)
		require.Equal(t, "nginx:1", c.Image)
		require.Equal(t, map[string]string{"nerdctl/name": "web", "aliyun.logs.x": "stdout"}, c.Labels)
		require.Empty(t, c.Problems)

		next := newQuestions(q.dir, func(context.Context, *manifest.Container) (*manifest.Known, error) {
			return nil, errors.New("the container is gone")
		}, q.log)
		c, took = settle(t, next, "log")
		require.Zero(t, took)
		require.Equal(t, "nginx:1", c.Image, "after a restart, when the container is gone")
		require.Equal(t, 1, asked)
	})
}

// Whoever does not answer delays a log by two seconds, and no other. The late answer serves the next start.
func TestLabelsThatComeLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := asking(t, func(ctx context.Context, c *manifest.Container) (*manifest.Known, error) {
			select {
			case <-time.After(3 * time.Second):
				return &manifest.Known{Image: "late:1"}, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}, "log")
		c, took := settle(t, q, "log")
		require.Equal(t, knownWait, took)
		require.Equal(t, []string{"the container's labels and image are not known: containerd has not answered within 2s"}, c.Problems)
		require.Equal(t, "web", c.Labels["nerdctl/name"])
		time.Sleep(2 * time.Second)
		c, took = settle(t, q, "log")
		require.Zero(t, took)
		require.Equal(t, "late:1", c.Image)
		require.Empty(t, q.all)
	})
}

// A hundred containers about which containerd does not answer hold up nobody for longer, and are not asked about all at once.
func TestManyThatAreNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		var keys []string
		for n := range 100 {
			keys = append(keys, fmt.Sprint("log", n))
		}
		q := asking(t, func(ctx context.Context, _ *manifest.Container) (*manifest.Known, error) {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			<-ctx.Done()
			return nil, ctx.Err()
		}, keys...)
		begun := time.Now()
		for _, key := range keys {
			require.False(t, q.add(t.Context(), key, &manifest.Container{ID: key}))
		}
		for _, key := range keys {
			c, _ := settle(t, q, key)
			require.Len(t, c.Problems, 1)
		}
		require.Equal(t, knownWait, time.Since(begun))
		time.Sleep(2 * askTime)
		require.EqualValues(t, maxAsking, most.Load())
	})
}

// Of a container that is gone, or that nobody knows, there is nothing to wait for.
func TestNobodyKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answer error
		q := asking(t, func(context.Context, *manifest.Container) (*manifest.Known, error) { return nil, answer }, "log")
		c, took := settle(t, q, "log")
		require.Zero(t, took)
		require.Empty(t, c.Problems)
		answer = errors.New("it is gone")
		c, took = settle(t, q, "log")
		require.Zero(t, took)
		require.Len(t, c.Problems, 1)
		require.True(t, q.add(t.Context(), "damaged", &manifest.Container{ID: "damaged", Damaged: true}))
		require.True(t, newQuestions(q.dir, nil, q.log).add(t.Context(), "log", &manifest.Container{}))
	})
}

// A log that was delivered, and stays to be shown, is no reason to ask, or to complain for a week.
func TestADeliveredLogIsNotAskedAbout(t *testing.T) {
	dir := t.TempDir()
	asked, answer := make(chan string, 2), make(chan struct{})
	var followed []string
	s, err := Open(Options{Dir: dir, Limits: spool.Limits{MaxBytes: 1 << 30, MaxBytesEach: 1 << 30}, History: 1 << 20, Log: slog.New(slog.DiscardHandler),
		Views:  func(string, *manifest.Container) (views, former map[string]int64) { return nil, nil },
		Attach: func(_ *spool.Log, c *manifest.Container) { followed = append(followed, c.ID) },
		Ask: func(_ context.Context, c *manifest.Container) (*manifest.Known, error) {
			asked <- c.ID
			<-answer
			return nil, nil
		}})
	require.NoError(t, err)
	for _, id := range []string{"delivered", "waiting"} {
		m := &manifest.Container{Runtime: "containerd", Namespace: "default", ID: id, Started: time.Now()}
		encoded, err := m.Encode()
		require.NoError(t, err)
		w, err := spool.OpenWriter(spool.Options{Dir: dir, MaxBytes: 1 << 30, Log: slog.New(slog.DiscardHandler)}).
			Write(m.Key(), encoded, spool.LogOptions{Raw: true, MaxBytes: 1 << 30})
		require.NoError(t, err)
		require.NoError(t, w.EndWriter())
		if id == "delivered" {
			require.NoError(t, os.WriteFile(filepath.Join(dir, m.Key(), "delivered"), nil, 0o600))
		}
	}
	s.scan(t.Context())
	require.Equal(t, "waiting", <-asked)
	require.Empty(t, asked)
	require.Equal(t, []string{"delivered"}, followed)
	close(answer)
	require.NoError(t, s.spool.Close(t.Context()))
}

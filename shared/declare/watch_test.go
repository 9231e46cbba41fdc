// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// trial is a running Watch over files in a directory, under synctest's clock.
type trial struct {
	t    *testing.T
	dir  string
	mu   sync.Mutex
	sets []Set
}

func (b *trial) told() []Set {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sets
}

// watching runs test against a Watch of config.yaml and annotations in a directory that holds files.
func watching(t *testing.T, files map[string]string, test func(b *trial)) {
	b := &trial{t: t, dir: t.TempDir()}
	for name, data := range files {
		b.write(name, data)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		sources := Sources{
			Env:             []string{"aliyun_logs_env=/env.log", "SECRET=hunter2"},
			ConfigFile:      filepath.Join(b.dir, "config.yaml"),
			AnnotationsFile: filepath.Join(b.dir, "annotations"),
		}
		go func() {
			defer close(done)
			New("").Watch(ctx, sources, func(s Set) {
				b.mu.Lock()
				defer b.mu.Unlock()
				b.sets = append(b.sets, s)
			})
		}()
		synctest.Wait()
		test(b)
		stop()
		<-done
	})
}

func (b *trial) write(name, data string) {
	require.NoError(b.t, os.WriteFile(filepath.Join(b.dir, name), []byte(data), 0o600))
}

// pass lets time pass and returns the sets that were told meanwhile.
func (b *trial) pass(d time.Duration) []Set {
	n := len(b.told())
	time.Sleep(d) // synctest's time
	synctest.Wait()
	return b.told()[n:]
}

func names(s Set) []string {
	var names []string
	for _, d := range s.Declarations {
		names = append(names, d.Name)
	}
	return names
}

var sound = map[string]string{"config.yaml": "logs:\n  conf: /conf.log\n", "annotations": "aliyun.logs.note=\"/note.log\"\n"}

func TestWatchTellsWhatHasChanged(t *testing.T) {
	watching(t, sound, func(b *trial) {
		require.Len(t, b.told(), 1)
		assert.Equal(t, []string{"conf", "env", "note"}, names(b.told()[0]))
		assert.Empty(t, b.told()[0].Errors)
		assert.Empty(t, b.pass(time.Hour), "nothing has changed")

		b.write("annotations", "aliyun.logs.note=\"/note.log\"\naliyun.logs.note.tags=\"x=1\"\naliyun.logs.more=\"/more.log\"\n")
		sets := b.pass(10 * time.Second)
		require.Len(t, sets, 1)
		assert.Equal(t, []string{"conf", "env", "more", "note"}, names(sets[0]))
		assert.Equal(t, map[string]string{"x": "1"}, sets[0].Declarations[3].Tags)

		b.write("config.yaml", "# nothing\n")
		sets = b.pass(10 * time.Second)
		require.Len(t, sets, 1)
		assert.Equal(t, []string{"env", "more", "note"}, names(sets[0]))

		b.write("config.yaml", "# nothing, said otherwise\n")
		assert.Empty(t, b.pass(10*time.Second), "what it says has not changed")
	})
}

func TestWatchKeepsTheLastGoodSet(t *testing.T) {
	for name, bad := range map[string]func(b *trial){
		"config.yaml: no YAML":     func(b *trial) { b.write("config.yaml", "logs: [") },
		"config.yaml: unknown key": func(b *trial) { b.write("config.yaml", "logs:\n  conf: {path: /x, formt: json}\n") },
		"config.yaml: wrong value": func(b *trial) { b.write("config.yaml", "logs:\n  conf: relative\n") },
		"config.yaml: too large":   func(b *trial) { b.write("config.yaml", string(make([]byte, maxFile+1))) },
		"annotations: not escaped": func(b *trial) { b.write("annotations", "aliyun.logs.note=/x\n") },
		"annotations: wrong value": func(b *trial) { b.write("annotations", "aliyun.logs.note.format=\"xml\"\n") },
		"annotations: gone":        func(b *trial) { require.NoError(t, os.Remove(filepath.Join(b.dir, "annotations"))) },
		"annotations: now a directory": func(b *trial) {
			require.NoError(t, os.Remove(filepath.Join(b.dir, "annotations")))
			require.NoError(t, os.Mkdir(filepath.Join(b.dir, "annotations"), 0o700))
		},
	} {
		t.Run(name, func(t *testing.T) {
			watching(t, sound, func(b *trial) {
				bad(b)
				sets := b.pass(time.Minute)
				require.Len(t, sets, 1, "said once")
				assert.Equal(t, b.told()[0].Declarations, sets[0].Declarations)
				require.GreaterOrEqual(t, len(sets[0].Errors), 2, "what is wrong, and that the rest stays")

				_ = os.Remove(filepath.Join(b.dir, "annotations"))
				for file, data := range sound {
					b.write(file, data)
				}
				sets = b.pass(10 * time.Second)
				require.Len(t, sets, 1)
				assert.Equal(t, b.told()[0], sets[0], "mended")
			})
		})
	}
}

func TestWatchOfFilesThatAreWrongFromTheBeginning(t *testing.T) {
	watching(t, map[string]string{"config.yaml": "logs:\n  good: /good.log\n  bad: relative\n"}, func(b *trial) {
		assert.Equal(t, []string{"env", "good"}, names(b.told()[0]), "each is refused alone")
		require.Len(t, b.told()[0].Errors, 2)
		assert.Contains(t, b.told()[0].Errors[0].Key, "annotations", "the file that is missing")
		assert.Equal(t, "logs.bad", b.told()[0].Errors[1].Key)

		b.write("annotations", "aliyun.logs.late=\"/late.log\"\n")
		sets := b.pass(10 * time.Second)
		require.Len(t, sets, 1)
		assert.Equal(t, []string{"env", "good", "late"}, names(sets[0]))
		require.Len(t, sets[0].Errors, 1)
		assert.Equal(t, "logs.bad", sets[0].Errors[0].Key)
	})
}

// An editor that truncates before it writes must not stop what is running.
func TestWatchWaitsUntilAFileHasSettled(t *testing.T) {
	watching(t, sound, func(b *trial) {
		for range 20 {
			b.write("config.yaml", "")
			assert.Empty(t, b.pass(pollInterval))
			b.write("config.yaml", sound["config.yaml"]+"# half")
			assert.Empty(t, b.pass(pollInterval))
		}
	})
}

// Kubernetes replaces the directory that ..data points to; the file itself stays a symlink through it.
func TestWatchFollowsKubernetesSwap(t *testing.T) {
	watching(t, map[string]string{"config.yaml": ""}, func(b *trial) {
		swap := func(version, data string) {
			require.NoError(t, os.Mkdir(filepath.Join(b.dir, version), 0o700))
			b.write(filepath.Join(version, "annotations"), data)
			require.NoError(t, os.Symlink(version, filepath.Join(b.dir, "..data_tmp")))
			require.NoError(t, os.Rename(filepath.Join(b.dir, "..data_tmp"), filepath.Join(b.dir, "..data")))
		}
		swap("..1", "aliyun.logs.one=\"/x\"\n")
		require.NoError(t, os.Symlink("..data/annotations", filepath.Join(b.dir, "annotations")))
		sets := b.pass(10 * time.Second)
		require.Len(t, sets, 1)
		assert.Equal(t, []string{"env", "one"}, names(sets[0]))

		swap("..2", "aliyun.logs.two=\"/x\"\n")
		require.NoError(t, os.RemoveAll(filepath.Join(b.dir, "..1")))
		sets = b.pass(10 * time.Second)
		require.Len(t, sets, 1)
		assert.Equal(t, []string{"env", "two"}, names(sets[0]))
	})
}

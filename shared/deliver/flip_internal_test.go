// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/declare"
)

// The file changes a hundred times at random moments while lines are written: each line arrives exactly once and in order, in one
// place or another.
func TestOutputsThatChangeAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		config := filepath.Join(dir, "remora.yaml")
		random := rand.New(rand.NewPCG(1, 2))
		write := func(i int) {
			text := fmt.Sprintf("outputs:\n  hot: {kind: file, FILE_NAME: all, FILE_FORMAT: raw, FILE_NUMBER_OF_FILES: 1000, FILE_PATH: %s}\n# %d\n", filepath.Join(dir, fmt.Sprint(i)), i)
			switch {
			case i == 0 || i == 100:
			case random.IntN(4) == 0:
				text = "outputs: {}\n"
			case random.IntN(4) == 0:
				text = "outputs: ["
			}
			require.NoError(t, os.WriteFile(config+".new", []byte(text), 0o600))
			require.NoError(t, os.Rename(config+".new", config))
		}
		write(0)
		o := Options{Version: "1", Outputs: []string{"hot"}, StateDir: filepath.Join(dir, "state"), Environ: map[string]string{"REMORA_CONFIG": config},
			Log: slog.New(slog.DiscardHandler)}
		require.NoError(t, Load(nil, &o.Common, &o.Batching))
		d, err := Open(o)
		require.NoError(t, err)
		s := new(growing)
		feed, err := d.Attach(Request{Declaration: declare.Declaration{Name: "web", Format: "none"}, Stream: s, Path: "/w.log", Output: "hot"})
		require.NoError(t, err)
		d.Start()
		n := 0
		for i := 1; i <= 100; i++ {
			for range 1 + random.IntN(8) {
				s.write(n, n+20)
				n += 20
				time.Sleep(time.Duration(random.IntN(900)) * time.Millisecond)
			}
			write(i)
		}
		time.Sleep(2 * time.Minute)
		require.EqualValues(t, n, feed.Status(time.Now()).Counts.SentRecords)
		d.Stop()
		require.NoError(t, d.Close())
		var got []string
		names, err := filepath.Glob(filepath.Join(dir, "*", "all*"))
		require.NoError(t, err)
		require.Greater(t, len(names), 10)
		for _, name := range names {
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			lines := strings.Split(string(bytes.TrimSpace(text)), "\n")
			require.True(t, slices.IsSortedFunc(lines, func(a, b string) int { return number(a) - number(b) }), name)
			got = append(got, lines...)
		}
		slices.SortFunc(got, func(a, b string) int { return number(a) - number(b) })
		require.Len(t, got, n)
		for i, line := range got {
			require.Equal(t, fmt.Sprintf("line %d", i), line)
		}
	})
}

func number(line string) (n int) {
	_, _ = fmt.Sscanf(line, "line %d", &n)
	return n
}

// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/record"
)

const streamLines = 300_000

// streamChild delivers a long stream to an output that does not know what it was given before.
func streamChild(store *checkpoint.Store, cfg pipeline.Config, out *toFile, log *slog.Logger) error {
	p := pipeline.New(cfg, map[string]pipeline.Sink{"test": {Output: out, Workers: 1}}, store, log)
	src := record.NewSource("s", "d", "stdout", "t", nil, nil)
	m := &memory{key: "s", data: []byte(numbered(0, streamLines)), ended: true}
	_, err := p.Attach(pipeline.Route{Stream: m, Source: src, Output: "test", Open: pipeline.Plain(func() cut.Cutter {
		return cut.NewLines(src, 1<<16)
	})})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	p.Drain(ctx)
	cancel()
	<-done
	return store.Close()
}

// A kill resends what was in flight, two batches at most, and not what was acknowledged since the last commit.
func TestAKillResendsNoMoreThanWasInFlight(t *testing.T) {
	dir := t.TempDir()
	const kills = 10
	happened := 0
	for range kills {
		cmd, log := startChild(t, dir, "stream")
		before := strings.Count(read(t, filepath.Join(dir, "out")), "\n")
		wanted := before + 15_000 + rand.IntN(10_000) // less than a commit's interval brings
		require.Eventually(t, func() bool {
			return strings.Count(read(t, filepath.Join(dir, "out")), "\n") > wanted
		}, 20*time.Second, time.Millisecond, "%s", log)
		require.NoError(t, cmd.Process.Kill())
		if cmd.Wait() != nil {
			happened++
		}
	}
	cmd, log := startChild(t, dir, "stream")
	require.NoError(t, cmd.Wait(), "%s", log)
	lines := split(read(t, filepath.Join(dir, "out")))
	seen := make(map[string]bool, streamLines)
	for _, line := range lines {
		seen[line] = true
	}
	for i := range streamLines {
		require.True(t, seen[fmt.Sprintf("line %d", i)], "line %d is lost", i)
	}
	twice := len(lines) - streamLines
	t.Logf("%d kills, %d of %d lines twice", happened, twice, streamLines)
	require.Positive(t, happened)
	require.LessOrEqual(t, twice, happened*2*(blocking.BatchRecords+quantumLines))
	require.LessOrEqual(t, twice, happened*5000)
}

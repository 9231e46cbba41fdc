// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
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
		exited := make(chan error, 1)
		go func() { exited <- cmd.Wait() }()
		wanted := size(t, dir) + 150_000 + rand.Int64N(100_000) // some 20,000 lines: less than a commit's interval brings
		require.Eventually(t, func() bool { return size(t, dir) > wanted || len(exited) > 0 }, time.Minute, time.Millisecond)
		_ = cmd.Process.Kill()
		if err := <-exited; err != nil {
			happened++
		} else {
			t.Logf("all was delivered before it could be killed\n%s", log)
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

// size is how many bytes the output has.
func size(t *testing.T, dir string) int64 {
	info, err := os.Stat(filepath.Join(dir, "out"))
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	require.NoError(t, err)
	return info.Size()
}

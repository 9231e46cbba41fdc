// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/format"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/record"
)

// TestMain runs the tests, or, in a process that one of them has started, a pipeline that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("PIPELINE_CHILD_DIR"); dir != "" {
		if err := child(dir, os.Getenv("PIPELINE_CHILD_MODE")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// The lines of the child's stream; the third takes the filters long enough to be met by dieOf on a busy machine, too.
var childLines = []string{"a", "b password=hunter2", "killer " + strings.Repeat("x", 12_000), "c", "d"}

// offset of the killer.
var killer = int64(len(childLines[0]) + len(childLines[1]) + 2)

// toFile is an output that appends lines to a file.
type toFile struct {
	path string
	down bool
}

func (o *toFile) Close() error { return nil }

func (o *toFile) Write(_ context.Context, b *record.Batch) error {
	f, err := os.OpenFile(o.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if o.down {
		_, _ = io.WriteString(f, "attempt\n")
		return errors.New("down")
	}
	for i := range b.Records {
		if _, err := fmt.Fprintf(f, "%s\n", b.Records[i].Line); err != nil {
			return err
		}
	}
	return nil
}

// child delivers the lines, and dies in the way that mode names.
func child(dir, mode string) error {
	store, err := checkpoint.Open(filepath.Join(dir, "checkpoints.db"))
	if err != nil {
		return err
	}
	out := &toFile{path: filepath.Join(dir, "out"), down: mode == "down"}
	if out.down {
		out.path = filepath.Join(dir, "attempts")
	}
	cfg := blocking
	if mode == "letters" {
		cfg.DeadLetter = filepath.Join(dir, "dead.jsonl")
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if mode == "stream" {
		return streamChild(store, cfg, out, log)
	}
	if mode == "unmapped" {
		pipeline.MapNothing()
	}
	p := pipeline.New(cfg, map[string]pipeline.Sink{"test": {Output: out, Workers: 1}}, store, log)
	if mode == "killer" || mode == "letters" || mode == "unmapped" {
		go dieOf(filepath.Join(dir, "processing"))
	}
	src := record.NewSource("s", "d", "stdout", "t", nil, nil)
	filters := map[string]string{"mask": "password=[^ ]+ => password=..."}
	for i := range 40 {
		filters[fmt.Sprintf("drop.%d", i)] = "(x+x+)+y|" + strings.Repeat("(a|b|x)*", 8) + "z$"
	}
	m := &memory{key: "s", data: []byte(strings.Join(childLines, "\n") + "\n"), ended: true}
	feed, err := p.Attach(pipeline.Route{Stream: m, Source: src, Output: "test", Open: func() (cut.Cutter, *format.Chain, error) {
		chain, err := format.New(declare.Declaration{Filters: filters}, src, format.Options{Log: log})
		return cut.NewLines(src, 1<<16), chain, err
	}})
	if err != nil {
		return err
	}
	if out.down {
		go tellOfRest(feed, filepath.Join(dir, "processing"), filepath.Join(dir, "rest"))
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	p.Drain(ctx)
	cancel()
	<-done
	return store.Close()
}

// tellOfRest makes a file once nothing more is read, parsed or filtered: all lines were, or as many as fit into two batches. It
// counts its own turns, as a busy machine delays them as much as it delays the pipeline.
func tellOfRest(f *pipeline.Feed, marks, path string) {
	for turns, last := 0, int64(0); turns < 40; turns++ {
		time.Sleep(10 * time.Millisecond)
		at, err := os.ReadFile(marks)
		if err != nil {
			panic(err)
		}
		if now := f.Status(time.Now()).ReadRecords; now == 0 || now != last || binary.NativeEndian.Uint64(at) != 0 {
			turns, last = 0, now
		}
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		panic(err)
	}
}

// dieOf kills this process while it works on the killer, or on a turn with it, where no record is marked alone.
func dieOf(marks string) {
	f, err := os.Open(marks)
	if err != nil {
		panic(err)
	}
	var at [8]byte
	for {
		_, err := f.ReadAt(at[:], 0)
		if mark := int64(binary.NativeEndian.Uint64(at[:])); err == nil && (mark == killer<<1+1 || mark < -killer) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}
}

func startChild(t *testing.T, dir, mode string) (*exec.Cmd, *strings.Builder) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PIPELINE_CHILD_DIR="+dir, "PIPELINE_CHILD_MODE="+mode)
	log := new(strings.Builder)
	cmd.Stderr = log
	require.NoError(t, cmd.Start())
	return cmd, log
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if !errors.Is(err, os.ErrNotExist) {
		require.NoError(t, err)
	}
	return string(content)
}

// A record that kills the process whenever it is filtered does so three times. Then it is set aside, and all others
// arrive.
func TestARecordThatKillsTheProcessIsSetAside(t *testing.T) {
	for mode, file := range map[string]string{"killer": "set-aside.jsonl", "letters": "dead.jsonl", "unmapped": "set-aside.jsonl"} {
		t.Run(mode, func(t *testing.T) {
			dir := t.TempDir()
			deaths := 3
			if mode == "unmapped" {
				deaths++ // the first one tells the turn
			}
			for death := range deaths {
				cmd, log := startChild(t, dir, mode)
				require.Error(t, cmd.Wait(), "%s", log)
				require.Equal(t, syscall.SIGKILL, cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(), "death %d: %s", death, log)
				require.Empty(t, read(t, filepath.Join(dir, file)))
			}
			cmd, log := startChild(t, dir, mode)
			require.NoError(t, cmd.Wait(), "%s", log)
			out := read(t, filepath.Join(dir, "out"))
			for _, line := range []string{"a\n", "c\n", "d\n"} {
				require.GreaterOrEqual(t, strings.Count("\n"+out, "\n"+line), 1, out)
			}
			require.NotContains(t, out, "killer", "it is never sent")
			require.NotContains(t, out, "hunter2")
			aside := read(t, filepath.Join(dir, file))
			require.Equal(t, 1, strings.Count(aside, "\n"))
			require.Contains(t, aside, "killer xxx")
			require.Contains(t, aside, "died 3 times")
			info, err := os.Stat(filepath.Join(dir, file))
			require.NoError(t, err)
			require.EqualValues(t, 0o600, info.Mode().Perm())
			require.Contains(t, log.String(), "set aside")
		})
	}
}

// Three kills while the backend is down set nothing aside: no record is parsed or filtered then.
func TestAProcessThatIsKilledWhileItWaitsSetsNothingAside(t *testing.T) {
	dir := t.TempDir()
	for n := 1; n <= 3; n++ {
		cmd, log := startChild(t, dir, "down")
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if t.Failed() {
				t.Log(log)
			}
		})
		require.Eventually(t, func() bool {
			_, err := os.Stat(filepath.Join(dir, "rest"))
			return err == nil && strings.Contains(read(t, filepath.Join(dir, "attempts")), "attempt")
		}, time.Minute, 10*time.Millisecond)
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		require.NoError(t, os.Remove(filepath.Join(dir, "attempts")))
		require.NoError(t, os.Remove(filepath.Join(dir, "rest")))
	}
	cmd, log := startChild(t, dir, "well")
	require.NoError(t, cmd.Wait(), "%s", log)
	require.Equal(t, len(childLines), strings.Count(read(t, filepath.Join(dir, "out")), "\n"))
	require.NotContains(t, read(t, filepath.Join(dir, "suspects.json")), "mark")
	require.NoFileExists(t, filepath.Join(dir, "set-aside.jsonl"))
}

// A record that was worked on when something else killed the process, twice, is processed alone, and delivered.
func TestASuspectThatSurvivesIsDelivered(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		cmd, log := startChild(t, dir, "killer")
		require.Error(t, cmd.Wait(), "%s", log)
	}
	require.Contains(t, read(t, filepath.Join(dir, "suspects.json")), `"deaths":1`)
	cmd, log := startChild(t, dir, "well")
	require.NoError(t, cmd.Wait(), "%s", log)
	require.Contains(t, log.String(), "deaths=2")
	out := read(t, filepath.Join(dir, "out"))
	for _, line := range []string{"a", "b password=...", childLines[2], "c", "d"} {
		require.Contains(t, "\n"+out, "\n"+line+"\n")
	}
	require.NotContains(t, read(t, filepath.Join(dir, "suspects.json")), "mark", "it is no suspect any more")
	require.NoFileExists(t, filepath.Join(dir, "set-aside.jsonl"))
}

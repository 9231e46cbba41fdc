// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
)

// An application that keeps little on a small volume never finds it full because the sidecar holds what was removed. With the
// backend down that costs old data, which is told in gaps.
func TestHeldFilesYieldToTheApplication(t *testing.T) {
	b := newBackend(t, map[string]verdict{"": {503, "unavailable_shards_exception", "primary shard is not active"}})
	logs := t.TempDir()
	dir := filepath.Join(logs, "app")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
		t.Fatalf("mounting a tmpfs takes root: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	p := newProcess(t, logs, plain("app"), b.settings()...)
	p.start(t)

	const files = 20
	for i := range files {
		if err := rotate(dir, i); err != nil {
			t.Fatalf("file %d: the application can't write: %v", i, err)
		}
		time.Sleep(500 * time.Millisecond)
	}
	b.mend()
	engine.Eventually(t, 60*time.Second, func() (bool, string) {
		last := fmt.Sprintf("app%d", files-1)
		missing, holes := b.missing(last, 1000)
		return missing == 0, fmt.Sprintf("%d lines of %s are missing: %s", missing, last, holes)
	})
	if said := about(p.snapshot(t), "app"); said == "" {
		dropped := int64(0)
		for _, l := range p.snapshot(t).Logs {
			dropped += l.Lifetime.Gaps
		}
		if dropped == 0 {
			t.Error("files were given up, and the status shows neither a gap nor an error")
		}
	}
}

// rotate writes 2 MiB to a new file and keeps the last four, so that 8 MiB of the volume are the application's own.
func rotate(dir string, i int) error {
	for n := 3; n >= 0; n-- {
		from := filepath.Join(dir, fmt.Sprintf("app.log.%d", n))
		if n == 0 {
			from = filepath.Join(dir, "app.log")
		}
		if err := os.Rename(from, filepath.Join(dir, fmt.Sprintf("app.log.%d", n+1))); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := os.Remove(filepath.Join(dir, "app.log.4")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "app.log"))
	if err != nil {
		return err
	}
	pad := strings.Repeat("x", 2000)
	for n := range 1000 {
		if _, err := fmt.Fprintf(f, "app%d %d x %s\n", i, n, pad); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}

// The file output's files are not collected, though a pattern covers them: 30 bytes would become a disk full.
func TestOwnFilesAreNotCollected(t *testing.T) {
	logs := t.TempDir()
	if err := os.MkdirAll(filepath.Join(logs, "app"), 0o755); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(logs, "app", "out")
	p := newProcess(t, logs, []stranger{{name: "app", keys: map[string]string{"path": "/app/**/*.log"}}}, "LOGGING_OUTPUT=file", "FILE_PATH="+out)
	if err := os.WriteFile(filepath.Join(logs, "app", "one.log"), []byte("app 0 a line of its own\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p.start(t)
	written := filepath.Join(out, "app.log")
	engine.Eventually(t, 20*time.Second, func() (bool, string) {
		content, _ := os.ReadFile(written)
		return strings.Count(string(content), "\n") > 0, "the line is not in " + written
	})
	time.Sleep(5 * time.Second)
	content, err := os.ReadFile(written)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(content), "\n"); n != 1 {
		t.Errorf("one line became %d: the output's own file is collected", n)
	}
	if said := about(p.snapshot(t), "app"); !strings.Contains(said, "FILE_PATH") && !strings.Contains(said, "output") {
		t.Errorf("the status does not say that a pattern covers the file output's own files: %.300q", said)
	}
}

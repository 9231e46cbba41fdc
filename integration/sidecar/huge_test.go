// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/verify"
)

// A line of 1 GiB is delivered to its last byte, in records of REMORA_MAX_RECORD_BYTES that say that they are pieces, in
// 64 MiB of memory; what follows it is whole.
func TestGigabyteWithoutNewline(t *testing.T) {
	const length, piece, after = 1<<30 + 12_345, 1 << 20, 1000
	backend := &pieces{t: t, length: length, piece: piece}
	server := httptest.NewServer(backend)
	defer server.Close()
	p := newPod(t, "LOGGING_OUTPUT=http", "HTTP_URL="+server.URL, "HTTP_COMPRESSION=none",
		fmt.Sprint("REMORA_MAX_RECORD_BYTES=", piece))
	s := p.start(t)
	began := time.Now()
	writeRuler(t, filepath.Join(p.logs, "huge.log"), length)
	p.put(t, "huge.log", "\n")
	for n := range after {
		p.put(t, "huge.log", fmt.Sprintf("after %d\n", n))
	}
	engine.Eventually(t, 2*time.Minute, func() (bool, string) {
		taken, lines := backend.progress()
		return t.Failed() || taken == length && lines == after, fmt.Sprintf("%d of %d bytes, %d lines after", taken, length, lines)
	})
	peak := s.memory(t, "VmHWM")
	t.Logf("%.1f MiB at most, %v", mib(peak), time.Since(began).Round(time.Millisecond))
	if peak > 64<<20 {
		t.Errorf("it held %.1f MiB: more than 64", mib(peak))
	}
}

// notch is how far the marks of a ruler are apart.
const notch = 64

// writeRuler writes a line whose every notch is its own offset, and no newline.
func writeRuler(t *testing.T, path string, length int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for at := 0; at < length; {
		part := ruler(at, min(8<<20, length-at))
		if _, err := f.Write(part); err != nil {
			t.Fatal(err)
		}
		at += len(part)
	}
}

// ruler is size bytes of the line from offset at on.
func ruler(at, size int) []byte {
	text := make([]byte, 0, size+2*notch)
	for mark := at / notch * notch; len(text) < size+notch; mark += notch {
		text = fmt.Appendf(text, "%0*x", notch, mark)
	}
	return text[at%notch:][:size]
}

// pieces is a backend that holds what comes against the ruler.
type pieces struct {
	t             *testing.T
	length, piece int

	mu    sync.Mutex
	taken int // bytes of the long line
	lines int // that came behind it
}

func (b *pieces) progress() (taken, lines int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.taken, b.lines
}

func (b *pieces) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		b.t.Errorf("a request is cut off: %v", err)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for line := range bytes.Lines(body) {
		var record verify.Record
		if err := json.Unmarshal(line, &record); err != nil {
			b.t.Errorf("%v: %.100s", err, line)
			return
		}
		b.take(&record)
	}
}

func (b *pieces) take(r *verify.Record) {
	if b.taken == b.length {
		if want := fmt.Sprintf("after %d", b.lines); r.Line() != want || r.Truncated {
			b.t.Errorf("%.100q (truncated: %t) came, want %q", r.Line(), r.Truncated, want)
		}
		b.lines++
		return
	}
	want := ruler(b.taken, min(b.piece, b.length-b.taken))
	last := b.taken+len(want) == b.length
	if r.Offset != int64(b.taken) || r.Truncated == last || r.Line() != string(want) {
		b.t.Errorf("at %d: a piece of %d bytes of offset %d came (truncated: %t): %.40q, want %d: %.40q", b.taken,
			len(r.Line()), r.Offset, r.Truncated, r.Line(), len(want), want)
	}
	b.taken += len(want)
}

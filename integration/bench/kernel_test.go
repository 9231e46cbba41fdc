// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// The kernel's loop writes as many bytes as it is told, whatever the files' sizes are.
func TestKernelLoopWritesWhatItIsTold(t *testing.T) {
	dir := t.TempDir()
	for name, size := range map[string]int{"a.log": 3*kernelRead + 1, "b.log": 17} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, size := range []int64{1, kernelBody, 2*kernelBody + 12345} {
		s := &server{seen: newSeen(1)}
		server := httptest.NewServer(http.HandlerFunc(s.discard))
		err := runKernelLoop(filepath.Join(dir, "*.log"), server.Listener.Addr().String(), size)
		server.Close()
		if err != nil || s.bytes != size || s.last.IsZero() {
			t.Errorf("%d of %d bytes: %v", s.bytes, size, err)
		}
	}
}

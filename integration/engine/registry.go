// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Registry starts a registry on 127.0.0.1, where engines need no TLS, and returns its address. It ends with the test.
func Registry(t testing.TB) string {
	t.Helper()
	addr := FreePort(t)
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yml")
	content := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %q}\n", dir, addr)
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("docker-registry", "serve", config)
	cmd.Stderr = os.Stderr
	Start(t, cmd)
	Eventually(t, 20*time.Second, func() (bool, string) {
		answer, err := http.Get("http://" + addr + "/v2/")
		if err != nil {
			return false, "the registry does not answer: " + err.Error()
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK, "the registry says " + answer.Status
	})
	return addr
}

// Start starts a process that is killed when the test ends.
func Start(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", cmd.Path, err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
}

// FreePort is an address on 127.0.0.1 that nobody listens on.
func FreePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

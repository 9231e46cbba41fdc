// SPDX-License-Identifier: Apache-2.0

package backends

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
)

// Graylog's own reader of GELF.
func TestGELF(t *testing.T) {
	binary := build(t, "gelf", ".")
	for name, settings := range map[string][]string{"tcp": nil, "http": {"GRAYLOG_HTTP_BULK=true"}, "http one by one": nil} {
		t.Run(name, func(t *testing.T) {
			address, protocol := engine.FreePort(t), name
			if name != "tcp" {
				protocol = "http"
			}
			host, port, _ := net.SplitHostPort(address)
			printed := printer(t, address, binary, "-address", address, "-protocol", protocol)
			f := write(t)
			sidecar(t, f, append(settings, "LOGGING_OUTPUT=graylog", "GRAYLOG_HOST="+host, "GRAYLOG_PORT="+port, "GRAYLOG_PROTOCOL="+protocol)...)
			comparePrinted(t, f, printed, "message", "log_source")
		})
	}
}

// Over UDP what comes faster than it is read is lost; what arrives, in chunks and compressed, has to be right.
func TestGELFOverUDP(t *testing.T) {
	binary := build(t, "gelf", ".")
	address := engine.FreePort(t)
	host, port, _ := net.SplitHostPort(address)
	path := filepath.Join(t.TempDir(), "printed")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(binary, "-address", address)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	engine.Start(t, cmd)
	f := write(t)
	sidecar(t, f, "LOGGING_OUTPUT=graylog", "GRAYLOG_HOST="+host, "GRAYLOG_PORT="+port, "GRAYLOG_CHUNK_SIZE=300", "REMORA_WORKERS=1")
	var all []document
	engine.Eventually(t, time.Minute, func() (bool, string) {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for len(content) > 0 && content[len(content)-1] != '\n' {
			content = content[:len(content)-1]
		}
		all = documents(t, content)
		return len(all) > 100, fmt.Sprintf("%d messages", len(all))
	})
	for _, d := range all {
		if n := rawNumber("message")(d); d["kind"] == "raw" && d["message"] != rawLine(n) {
			t.Fatalf("line %d: %v", n, d)
		}
	}
}

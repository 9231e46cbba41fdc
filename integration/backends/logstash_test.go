// SPDX-License-Identifier: Apache-2.0

package backends

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
)

// printer starts a server that prints the records it takes, one JSON object a line, and returns what it has printed.
func printer(t *testing.T, address, binary string, args ...string) func() []document {
	t.Helper()
	path := filepath.Join(t.TempDir(), "printed")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(binary, args...)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	engine.Start(t, cmd)
	engine.Eventually(t, 30*time.Second, func() (bool, string) {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return false, "it does not listen"
		}
		return c.Close() == nil, ""
	})
	return func() []document {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		whole := strings.LastIndexByte(string(content), '\n') + 1
		return documents(t, content[:whole])
	}
}

// Elastic's own server of lumberjack; one that takes its time says meanwhile that it lives.
func TestLumberjack(t *testing.T) {
	binary := build(t, "lumber", ".")
	for name, with := range map[string]struct{ server, output []string }{
		"plain":        {nil, nil},
		"uncompressed": {nil, []string{"LOGSTASH_COMPRESSION_LEVEL=0"}},
		"slow":         {[]string{"-slow", "3s"}, []string{"LOGSTASH_TIMEOUT=1s", "LOGSTASH_BULK_MAX_SIZE=1000"}},
		"TLS":          {[]string{"-cert"}, []string{"LOGSTASH_TLS=true"}},
	} {
		t.Run(name, func(t *testing.T) {
			address, dir := engine.FreePort(t), t.TempDir()
			args := append([]string{"-address", address}, with.server...)
			if name == "TLS" {
				with.output = append(with.output, "LOGSTASH_CA="+certificate(t, dir))
				args = append(args, filepath.Join(dir, "cert.pem"), "-key", filepath.Join(dir, "key.pem"))
			}
			printed := printer(t, address, binary, args...)
			f := write(t)
			sidecar(t, f, append([]string{"LOGGING_OUTPUT=logstash", "LOGSTASH_HOSTS=" + address}, with.output...)...)
			comparePrinted(t, f, printed, "message", "source")
		})
	}
}

// comparePrinted waits for all records of both files, and compares them.
func comparePrinted(t *testing.T, f files, printed func() []document, message, source string) {
	t.Helper()
	var all []document
	engine.Eventually(t, time.Minute, func() (bool, string) {
		all = printed()
		return len(all) >= 2*lines, fmt.Sprintf("%d of %d records", len(all), 2*lines)
	})
	var raw, parsed []document
	for _, d := range all {
		if d["kind"] == "raw" {
			raw = append(raw, d)
		} else {
			parsed = append(parsed, d)
		}
	}
	compare(t, raw, rawNumber(message), func(n int) document {
		return document{message: rawLine(n), "team": "blue", source: f.raw()}
	})
	compare(t, parsed, jsonNumber, func(n int) document {
		return document{"status": strconv.Itoa(200 + n%300), "text": `a "b" ü`, "team": "red", source: f.json()}
	})
}

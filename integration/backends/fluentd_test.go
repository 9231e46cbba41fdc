// SPDX-License-Identifier: Apache-2.0

package backends

import (
	"net"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/remora-logs/remora/integration/engine"
)

// The OpenTelemetry Collector's receiver of the forward protocol.
func TestFluentForward(t *testing.T) {
	binary := build(t, "fluentforward", ".")
	for _, compression := range []string{"none", "gzip"} {
		t.Run(compression, func(t *testing.T) {
			address := engine.FreePort(t)
			printed := printer(t, address, binary, "-address", address)
			f := write(t)
			sidecar(t, f, "LOGGING_OUTPUT=fluentd", "FLUENTD_ADDRESS="+address, "FLUENTD_COMPRESSION="+compression)
			comparePrinted(t, f, func() []document {
				all := printed()
				for _, d := range all {
					d["tag"] = d["fluent.tag"]
					if d["body"] != "" && d["body"] != "null" { // the member message of a record that has one
						d["message"] = d["body"]
					}
				}
				return all
			}, "message", "source")
		})
	}
}

// A server that asks for a shared key and a user: npm's @fluent-org/logger.
func TestFluentSharedKey(t *testing.T) {
	dir := filepath.Join(engine.Root(t), "integration", "backends", "fluentlogger")
	install := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	address := engine.FreePort(t)
	_, port, _ := net.SplitHostPort(address)
	printed := printer(t, address, "node", filepath.Join(dir, "server.js"), port, "a shared key", user, password)
	f := write(t)
	sidecar(t, f, "LOGGING_OUTPUT=fluentd", "FLUENTD_ADDRESS="+address, "FLUENTD_SHARED_KEY=a shared key",
		"FLUENTD_SELF_HOSTNAME=node-1", "FLUENTD_USERNAME="+user, "FLUENTD_PASSWORD="+password)
	comparePrinted(t, f, printed, "message", "source")
}

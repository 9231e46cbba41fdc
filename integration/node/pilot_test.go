// SPDX-License-Identifier: Apache-2.0

package node

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/verify"
)

const image = "remora-test-node"

// The command of log-pilot's documentation, in which only the image was changed, and the example that goes with it.
func TestInLogPilotsPlace(t *testing.T) {
	e := engine.New(t)
	root := engine.Root(t)
	e.Docker(t, "build", "--quiet", "--tag", image, "--file", filepath.Join(root, "deploy", "docker", "node.Dockerfile"), filepath.Join(root, "bin", "image-node"))
	out := t.TempDir()
	socket := strings.TrimPrefix(e.Host(), "unix://")
	agent := e.Docker(t, "run", "--detach", "--network", "none", "--volume", socket+":/var/run/docker.sock", "--volume", "/etc/localtime:/etc/localtime",
		"--volume", "/:/host:ro", "--cap-add", "SYS_ADMIN", "--volume", out+":/out", "--env", "PILOT_TYPE=filebeat", "--env", "FILEBEAT_OUTPUT=file",
		"--env", "FILE_PATH=/out", "--env", "FILE_ROTATE_SIZE=1048576", "--env", "DOCKER_API_VERSION=1.23", image)
	t.Cleanup(func() {
		if t.Failed() {
			said, _ := e.Command("logs", agent).CombinedOutput()
			t.Logf("what the agent said:\n%.5000s", said)
		}
		_, _ = e.Try("rm", "--force", "--volumes", agent)
	})
	const lines = 5_000
	c := e.Run(t, "json-file", []string{"--env", "aliyun_logs_catalina=stdout", "--env", "aliyun_logs_access=/usr/local/tomcat/logs/catalina.*.log",
		"--volume", "/usr/local/tomcat/logs"}, "-name", "tomcat", "-lines", strconv.Itoa(lines), "-rate", "5000",
		"-file", "/usr/local/tomcat/logs/catalina.2026-01-02.log", "-also", "-hold")
	name := c.Name(t)
	// Filebeat's output file is one file for all logs.
	delivered := verify.Open(filepath.Join(out, "filebeat"))
	delivered.Each = func(t testing.TB, r *verify.Record) {
		if got := r.Members(t)["docker_container"]; got != name {
			t.Fatalf("docker_container is %v, want %s", got, name)
		}
	}
	delivered.ExactlyOnce(t, time.Minute, "tomcat", "stdout", lines)
	delivered.ExactlyOnce(t, soon, "tomcat", "", lines)
	e.Docker(t, "exec", agent, "/pilot/healthz")
}

// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/verify"
)

const image = "remora-test-node"

// buildFor builds the image that says what log-pilot ran, as `make image-node PILOT_TYPE=…` does.
func buildFor(t *testing.T, e *engine.Engine, mode string) {
	t.Helper()
	root := engine.Root(t)
	e.Docker(t, "build", "--quiet", "--build-arg", "PILOT_TYPE="+mode, "--tag", image+":"+mode,
		"--file", filepath.Join(root, "deploy", "docker", "node.Dockerfile"), filepath.Join(root, "bin", "image-node"))
}

// The command of log-pilot's documentation, in which only the image was changed, and the example that goes with it.
func TestInLogPilotsPlace(t *testing.T) {
	e := engine.New(t)
	buildFor(t, e, "filebeat")
	out := t.TempDir()
	socket := strings.TrimPrefix(e.Host(), "unix://")
	agent := e.Docker(t, "run", "--detach", "--network", "none", "--volume", socket+":/var/run/docker.sock", "--volume", "/etc/localtime:/etc/localtime",
		"--volume", "/:/host:ro", "--cap-add", "SYS_ADMIN", "--volume", out+":/out", "--env", "FILEBEAT_OUTPUT=file",
		"--env", "FILE_PATH=/out", "--env", "FILE_ROTATE_SIZE=1048576", "--env", "DOCKER_API_VERSION=1.23", image+":filebeat")
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

// service is what the tests read of a Compose file, or of a DaemonSet.
type service struct {
	volumes     []string
	environment map[string]string
}

// fromCompose reads a service of one of log-pilot's Compose files.
func fromCompose(t *testing.T, content []byte) service {
	t.Helper()
	var file struct {
		Services map[string]struct {
			Volumes     []string
			Environment map[string]any
		}
	}
	if err := yaml.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	s := file.Services["pilot"]
	made := service{volumes: s.Volumes, environment: map[string]string{}}
	for name, value := range s.Environment {
		made.environment[name] = fmt.Sprint(value)
	}
	return made
}

// fromDaemonSet reads log-pilot's container, with the paths of the host that the kubelet would mount.
func fromDaemonSet(t *testing.T, content []byte) service {
	t.Helper()
	var d apps.DaemonSet
	if err := yaml.Unmarshal(content, &d); err != nil {
		t.Fatal(err)
	}
	spec := d.Spec.Template.Spec
	made := service{environment: map[string]string{}}
	for _, v := range spec.Containers[0].Env {
		made.environment[v.Name] = v.Value
	}
	for _, m := range spec.Containers[0].VolumeMounts {
		for _, v := range spec.Volumes {
			if v.Name == m.Name {
				made.volumes = append(made.volumes, v.HostPath.Path+":"+m.MountPath)
			}
		}
	}
	return made
}

// Manifests of log-pilot's documentation, played with docker. Replaced are the image, and where the records go: to files of the
// test. The agent needs none of log-pilot's rights, so it is given none. What is of the machine's, such as Filebeat's directory, is a directory of the test.
func TestLogPilotsManifestsWithTheImageReplaced(t *testing.T) {
	e := engine.New(t)
	manifests := filepath.Join(engine.Root(t), "node", "migrate", "testdata")
	for mode, c := range map[string]struct {
		file string
		read func(*testing.T, []byte) service
		into string
	}{
		"fluentd":  {"compose-file.in", fromCompose, "*/*/*/access.*.log"}, // by container and day
		"filebeat": {"daemonset-elasticsearch.in", fromDaemonSet, "filebeat"},
	} {
		t.Run(mode, func(t *testing.T) {
			buildFor(t, e, mode)
			content, err := os.ReadFile(filepath.Join(manifests, c.file))
			if err != nil {
				t.Fatal(err)
			}
			s, out, state := c.read(t, content), t.TempDir(), t.TempDir()
			args := []string{"run", "--detach", "--network", "none", "--volume", out + ":/out"}
			s.environment[strings.ToUpper(mode)+"_OUTPUT"], s.environment["FILE_PATH"] = "file", "/out"
			for name, value := range s.environment {
				args = append(args, "--env", name+"="+value)
			}
			for _, v := range s.volumes {
				host, inside, _ := strings.Cut(v, ":")
				switch {
				case strings.HasSuffix(host, "docker.sock"):
					host = strings.TrimPrefix(e.Host(), "unix://")
				case strings.HasSuffix(inside, "filebeat"):
					host = filepath.Join(state, filepath.Base(filepath.Dir(inside)))
				}
				args = append(args, "--volume", host+":"+inside)
			}
			agent := e.Docker(t, append(args, image+":"+mode)...)
			t.Cleanup(func() {
				if t.Failed() {
					said, _ := e.Command("logs", agent).CombinedOutput()
					t.Logf("what the agent said:\n%.5000s", said)
				}
				_, _ = e.Try("rm", "--force", "--volumes", agent)
			})
			const lines = 2_000
			e.Run(t, "json-file", []string{"--env", "aliyun_logs_access=/logs/*.log", "--volume", "/logs"}, "-name", mode,
				"-lines", strconv.Itoa(lines), "-rate", "2000", "-file", "/logs/a.log", "-hold")
			var path string
			for deadline := time.Now().Add(time.Minute); path == ""; time.Sleep(100 * time.Millisecond) {
				if found, _ := filepath.Glob(filepath.Join(out, c.into)); len(found) == 1 {
					path = found[0]
				} else if time.Now().After(deadline) {
					t.Fatalf("no file %s", c.into)
				}
			}
			log := verify.Open(path)
			log.Each = func(t testing.TB, r *verify.Record) {
				// Members as in shared/deliver/testdata/MODE-file.json.
				members := r.Members(t)
				if members["index"] != "access" || members["topic"] != "access" {
					t.Fatalf("index and topic are not the target: %s", r.Raw)
				}
				beat, _ := members["beat"].(map[string]any)
				_, local := members["time"].(string)
				if (mode == "filebeat") != (beat["hostname"] != nil) || (mode == "fluentd") != local {
					t.Fatalf("not a record of %s: %s", mode, r.Raw)
				}
			}
			log.ExactlyOnce(t, time.Minute, mode, "", lines)
			e.Docker(t, "exec", agent, "/pilot/healthz")
		})
	}
}

// What migrate makes of log-pilot as a Swarm service is a stack that collects. Replaced are the image, what this machine has
// elsewhere, and where the records go.
func TestMigratedStackCollects(t *testing.T) {
	e := engine.NewPrivate(t)
	buildFor(t, &e.Engine, "filebeat")
	out := t.TempDir()
	override := filepath.Join(out, "override.yml")
	content := fmt.Sprintf(`version: "3.8"
services:
  log-pilot:
    image: %s
    environment: {LOGGING_OUTPUT: file, FILE_PATH: /out}
    volumes: ["%s:/out"]
    networks: [outside]
  app:
    image: %s
    command: ["-name", "stack", "-lines", "500", "-hold"]
    labels: {aliyun.logs.access: stdout}
    networks: [outside]
networks:
  outside: {external: true, name: host}
`, image+":filebeat", out, e.Generator(t))
	migrated, err := os.ReadFile(filepath.Join(engine.Root(t), "node", "migrate", "testdata", "inspect-swarm.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	stack := filepath.Join(out, "stack.yml")
	here := strings.NewReplacer("/var/run/docker.sock:", strings.TrimPrefix(e.Host(), "unix://")+":", ",rslave", "").Replace(string(migrated))
	for path, content := range map[string]string{override: content, stack: here} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e.Docker(t, "swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1")
	e.Docker(t, "stack", "deploy", "--resolve-image", "never", "--compose-file", stack, "--compose-file", override, "shop")
	t.Cleanup(func() {
		e.Docker(t, "stack", "rm", "shop")
		engine.Eventually(t, time.Minute, func() (bool, string) {
			left := e.Docker(t, "ps", "--all", "--quiet")
			return left == "", "the stack's containers are still there: " + left
		})
	})
	log := verify.Open(filepath.Join(out, "filebeat"))
	log.Each = func(t testing.TB, r *verify.Record) {
		if m := r.Members(t); m["docker_service"] != "shop_app" || m["index"] != "access" || m["beat"] == nil {
			t.Fatalf("not log-pilot's record of the service: %s", r.Raw)
		}
	}
	log.ExactlyOnce(t, time.Minute, "stack", "stdout", 500)
}

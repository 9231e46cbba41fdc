// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func title(text string) { fmt.Printf("\n\033[1m%s\033[0m\n", text) }

// docker prints the command and runs it. The client's own output is shown only where it fails.
func docker(args ...string) error {
	fmt.Println("  $ docker", strings.Join(args, " "))
	_, err := quiet(args...)
	return err
}

func dockerEach(commands ...[]string) error {
	for _, args := range commands {
		if err := docker(args...); err != nil {
			return err
		}
	}
	return nil
}

// quiet runs the client and returns its standard output.
func quiet(args ...string) (string, error) {
	var out, errs bytes.Buffer
	cmd := exec.Command("docker", args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

// importWriter builds the generator and makes an image of that one file.
func importWriter() error {
	dir, err := os.MkdirTemp("", "remora-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-C", "integration", "-trimpath", "-o", filepath.Join(dir, "program"), "./generator")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	archive := filepath.Join(dir, "image.tar")
	for _, cmd := range []*exec.Cmd{build, exec.Command("tar", "-C", dir, "-cf", archive, "program")} {
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, out)
		}
	}
	return docker("import", "--change", `ENTRYPOINT ["/program"]`, archive, writer)
}

// stateDir is where the plugin's state lies on the engine's host.
func stateDir() (string, error) {
	root, err := quiet("info", "--format", "{{.DockerRootDir}}")
	if err != nil {
		return "", err
	}
	id, err := quiet("plugin", "inspect", "--format", "{{.Id}}", plugin)
	if err != nil {
		return "", err
	}
	return filepath.Join(strings.TrimSpace(root), "plugins", strings.TrimSpace(id), "propagated-mount"), nil
}

// cleanUp removes all that the demo makes. Each command may find that there is nothing to remove.
func cleanUp() {
	ids, _ := quiet("ps", "--all", "--quiet", "--filter", "name=^"+prefix)
	for _, id := range strings.Fields(ids) {
		quiet("rm", "--force", id)
	}
	for _, volume := range []string{"logs", "remora-state"} {
		quiet("volume", "rm", "--force", prefix+volume)
	}
	quiet("plugin", "disable", plugin)
	quiet("plugin", "rm", "--force", plugin)
	quiet("image", "rm", "--force", writer, sidecar, node)
}

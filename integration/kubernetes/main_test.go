// SPDX-License-Identifier: Apache-2.0

// Package kubernetes holds the proofs of the sidecar on a real Kubernetes, which the package cluster runs. What a user
// types is what is tested: Pods are applied, annotated and deleted with kubectl.
package kubernetes

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/remora-logs/remora/integration/kubernetes/cluster"
)

// node is the cluster that the tests share.
var node *cluster.Cluster

// root is the repository's.
var root = filepath.Join("..", "..")

// Images that stand for those that deploy/kubernetes and the README name and that nobody here can pull. Their
// applications write numbered lines to the file that the sidecar is told of.
const (
	webImage    = "docker.io/library/nginx:1.29"
	reportImage = "example.com/shop/report:2.0"
	pushed      = "registry.example.com/"                     // where the pages push their images
	generator   = "docker.io/library/remora-generator:latest" // writes what its arguments say
)

const (
	webLines    = 20_000
	reportLines = 100_000
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	// An interrupt cleans up as well.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if node, err = cluster.Start(ctx, os.Getenv("REMORA_KUBERNETES")); err != nil {
		return 0, err
	}
	defer node.Stop()
	defer context.AfterFunc(ctx, func() {
		node.Stop()
		os.Exit(130)
	})()
	if err := importImages(); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// importImages builds the programs that the images want, and gives the images to the node.
func importImages() error {
	dir, err := os.MkdirTemp("", "remora-programs-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, program := range []string{"./pause", "../generator"} {
		build := exec.Command("go", "build", "-trimpath", "-o", dir, program)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w: %s", program, err, out)
		}
	}
	for _, image := range images(dir) {
		if err := node.Import(image); err != nil {
			return err
		}
	}
	return nil
}

// images are all that the Pods need, of the programs in dir and of what `make bin/image` has left.
func images(dir string) []cluster.Image {
	application := func(name string, args ...string) cluster.Image {
		return cluster.Image{
			Name: name, Entrypoint: append([]string{"/program"}, args...),
			Files: []cluster.File{{Path: "program", Source: filepath.Join(dir, "generator"), Mode: 0o755}},
		}
	}
	context := filepath.Join(root, "bin", "image")
	all := []cluster.Image{
		cluster.Pause(filepath.Join(dir, "pause")),
		application(generator),
		application(webImage, "-name", "web", "-lines", fmt.Sprint(webLines), "-rate", "5000",
			"-file", "/var/log/nginx/access.log", "-rotate", "7000", "-hold"),
		application(reportImage, "-name", "report", "-lines", fmt.Sprint(reportLines), "-rate", fmt.Sprint(reportLines),
			"-file", "/var/log/report/report.log"),
	}
	for _, name := range []string{nodeImage, pushed + "remora-node:latest", pushed + "remora-node:v2"} {
		all = append(all, cluster.Image{ // as deploy/docker/node.Dockerfile says
			Name: name, Entrypoint: []string{"/remora-node"},
			Files: []cluster.File{
				{Path: "etc/ssl/certs/ca-certificates.crt", Source: filepath.Join(context, "ca-certificates.crt"), Mode: 0o644},
				{Path: "var/lib/remora/", Mode: 0o755},
				{Path: "remora-node", Source: filepath.Join(root, "bin", "remora-node"), Mode: 0o755},
			},
		})
	}
	for _, name := range []string{"docker.io/library/remora-sidecar:latest", pushed + "remora-sidecar:latest", pushed + "remora-sidecar:v2"} {
		all = append(all, cluster.Image{ // as deploy/docker/sidecar.Dockerfile says
			Name: name, User: "65532:65532", Entrypoint: []string{"/remora-sidecar"},
			Files: []cluster.File{
				{Path: "etc/ssl/certs/ca-certificates.crt", Source: filepath.Join(context, "ca-certificates.crt"), Mode: 0o644},
				{Path: "var/lib/remora/", Mode: 0o755, Owner: 65532},
				{Path: "remora-sidecar", Source: filepath.Join(context, "remora-sidecar"), Mode: 0o755},
			},
		})
	}
	return all
}

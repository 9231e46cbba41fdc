// SPDX-License-Identifier: Apache-2.0

// The demo shows the ways in on a real engine: a container that logs through the plugin; the node agent with a container's
// output and a file inside another; a container of containerd with the logging binary; and the sidecar of
// deploy/kubernetes/pod.yaml beside a program that writes a rotating file. It prints each command that it runs, then what
// arrived, and leaves nothing behind.
//
// `make demo` builds what it needs and runs it. Its plugin, images, containers and volumes have names of their own, so
// that it does not touch a Remora that is already installed.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	plugin  = "remora-demo:latest"
	writer  = "remora-demo-writer"
	sidecar = "remora-demo-sidecar"
	node    = "remora-demo-node"
	prefix  = "remora-demo-"
	lines   = 1000
)

func main() {
	began := time.Now()
	cleanUp() // what an interrupted run left
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		cleanUp()
		os.Exit(130)
	}()
	err := demo()
	title("Cleaning up")
	cleanUp()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
	fmt.Printf("\nAll logs arrived complete and tagged, in %v. Next: docs/install.md.\n",
		time.Since(began).Round(time.Second))
}

func demo() error {
	for _, part := range []func() error{prepare, throughThePlugin, throughTheNodeAgent, throughContainerd, throughTheSidecar} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// prepare makes the images, both from scratch.
func prepare() error {
	title("Images: a writer of numbered lines, and the sidecar")
	if err := importWriter(); err != nil {
		return err
	}
	return docker("build", "--quiet", "--tag", sidecar, "--file", "deploy/docker/sidecar.Dockerfile", "bin/image")
}

func throughThePlugin() error {
	title("1. The plugin: a container's standard output")
	container := prefix + "shop"
	if err := dockerEach(
		[]string{"plugin", "create", plugin, "bin/plugin"},
		[]string{"plugin", "set", plugin, "LOGGING_OUTPUT=file", "FILE_PATH=/var/lib/remora/logs"},
		[]string{"plugin", "enable", plugin},
		[]string{"run", "--detach", "--name", container, "--network", "none", "--log-driver", plugin,
			"--label", "aliyun.logs.web=stdout", "--label", "aliyun.logs.web.tags=team=shop,tier=front",
			writer, "-name", "order", "-lines", fmt.Sprint(lines), "-rate", "500"},
		[]string{"wait", container},
	); err != nil {
		return err
	}
	state, err := stateDir()
	if err != nil {
		return err
	}
	fmt.Printf("\n  What the file output wrote, on the host in %s/logs/web.log:\n", state)
	return arrived("order", "stdout", func() (string, error) {
		return quiet("run", "--rm", "--network", "none", "--log-driver", "none", "--volume", state+":/state:ro", writer,
			"-show", "/state/logs/web.log")
	})
}

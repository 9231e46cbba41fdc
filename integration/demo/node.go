// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strings"
)

// throughTheNodeAgent runs the agent beside two containers, one that logs to stdout and one that writes a file inside of
// itself. Both declare their logs with a prefix of the demo's own, so that the agent leaves all other containers alone.
func throughTheNodeAgent() error {
	title("2. The node agent: the output of one container, and a file inside another")
	if err := docker("build", "--quiet", "--tag", node, "--file", "deploy/docker/node.Dockerfile", "bin/image-node"); err != nil {
		return err
	}
	agent := prefix + "agent"
	if err := dockerEach(
		[]string{"run", "--detach", "--name", agent, "--log-driver", "json-file", "--network", "none", "--read-only", "--cap-drop", "ALL",
			"--cap-add", "DAC_READ_SEARCH", "--volume", "/:/host:ro", "--volume", socket() + ":/var/run/docker.sock",
			"--tmpfs", "/var/lib/remora", "--env", "PILOT_LOG_PREFIX=demo", "--env", "LOGGING_OUTPUT=console", node},
		[]string{"run", "--detach", "--name", prefix + "cart", "--log-driver", "json-file", "--network", "none",
			"--label", "demo.logs.cart=stdout", "--label", "demo.logs.cart.tags=team=shop,tier=front",
			writer, "-name", "cart", "-lines", fmt.Sprint(lines), "-rate", "500"},
		[]string{"run", "--detach", "--name", prefix + "stock", "--log-driver", "json-file", "--network", "none",
			"--label", "demo.logs.stock=/stock.log", "--label", "demo.logs.stock.tags=team=shop,tier=back",
			writer, "-name", "stock", "-lines", fmt.Sprint(lines), "-rate", "500", "-file", "/stock.log", "-hold"},
	); err != nil {
		return err
	}
	fmt.Printf("\n  What the agent's console output wrote, as in docker logs %s:\n", agent)
	read := func(name string) func() (string, error) {
		return func() (string, error) {
			all, err := quiet("logs", agent)
			return of(name, all), err
		}
	}
	if err := arrived("cart", "stdout", read("cart")); err != nil {
		return err
	}
	return arrived("stock", "", read("stock"))
}

// socket is where the engine's socket is on this machine.
func socket() string {
	if path, ok := strings.CutPrefix(os.Getenv("DOCKER_HOST"), "unix://"); ok {
		return path
	}
	return "/var/run/docker.sock"
}

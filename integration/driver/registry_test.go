// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"strconv"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/sink"
	"github.com/remora-logs/remora/integration/verify"
)

// The way of a plugin in the field: pushed, installed by its name in a registry, upgraded. What was spooled before the
// upgrade is delivered after it.
func TestInstalledAndUpgradedFromARegistry(t *testing.T) {
	e := engine.New(t)
	registry := engine.Registry(t)
	for _, version := range []string{"v1", "v2"} {
		name := registry + "/remora:" + version
		// Pushed, and gone from the engine, before the next: OpenPlugin's clean-up must not remove the installed one.
		_, _ = e.Try("plugin", "rm", "--force", name)
		e.Docker(t, "plugin", "create", name, engine.Root(t)+"/bin/plugin")
		e.Docker(t, "plugin", "push", name)
		e.Docker(t, "plugin", "rm", name)
	}
	const alias = "remora-registry-test:latest"
	_, _ = e.Try("plugin", "rm", "--force", alias)
	backend := sink.New(t, sink.Down)
	e.Docker(t, append([]string{"plugin", "install", "--grant-all-permissions", "--alias", alias, registry + "/remora:v1"},
		backend.Settings()...)...)
	p := e.OpenPlugin(t, alias)

	const lines = 20_000
	e.Run(t, p.Name, nil, "-name", "spooled", "-lines", strconv.Itoa(lines)).Wait(t)
	p.Disable(t, false)
	e.Docker(t, "plugin", "upgrade", "--grant-all-permissions", "--skip-remote-check", p.Name, registry+"/remora:v2")
	backend.Be(t, sink.Healthy)
	p.Enable(t)
	verify.Open(backend.Path).Await(t, time.Minute, "spooled", "stdout", lines)
}

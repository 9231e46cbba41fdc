// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/sink"
)

// A Pod is deleted while its backend is down, which comes back within the grace period: nothing of the backlog is lost.
func TestDeletedWithABacklog(t *testing.T) {
	const lines, size = 200_000, 100
	backend := sink.New(t, sink.Down)
	p := manual(t, "backlog", "-name", "backlog", "-lines", fmt.Sprint(lines), "-size", fmt.Sprint(size),
		"-file", "/var/log/nginx/access.log", "-hold")
	p.Spec.HostNetwork = true // so that 127.0.0.1, where the backend is, is the node's
	set(&p.Spec.InitContainers[0], backend.Settings()...)
	apply(t, "pod", p.Name, p)
	p = started(t, p.Name)
	f := follow(t, p.Name)
	written := filepath.Join(node.Volume(string(p.UID), "logs"), "access.log")
	engine.Eventually(t, time.Minute, func() (bool, string) {
		info, err := os.Stat(written)
		return err == nil && info.Size() == lines*(size+1), fmt.Sprint("the application's file: ", info, err)
	})

	grace := time.Duration(*p.Spec.TerminationGracePeriodSeconds) * time.Second
	began := time.Now()
	kubectl(t, "delete", "pod", p.Name, "--wait=false")
	f.awaitWord(t, 30*time.Second, "stopping, draining", 1)
	if info, err := os.Stat(backend.Path); err != nil || info.Size() > 0 {
		t.Fatalf("there is no backlog: %v, %v", info, err)
	}
	backend.Be(t, sink.Healthy)
	kubectl(t, "wait", "pod", p.Name, "--for", "delete", "--timeout", grace.String())
	t.Logf("the Pod is gone %v after it was deleted", time.Since(began).Round(time.Millisecond))
	drained(t, f)
	if n := count(t, backend.Path, "backlog"); n.Missing(lines) > 0 || n.Distinct != lines {
		t.Errorf("%d of %d lines, missing %s", n.Distinct, lines, n.Holes(lines))
	}
}

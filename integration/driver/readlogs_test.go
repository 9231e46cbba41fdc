// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"bufio"
	"strings"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
)

// READ_LOGS=true makes the plugin answer `docker logs` from its spool, in every form of the command.
func TestReadLogs(t *testing.T) {
	e := engine.New(t)
	p := e.NewPlugin(t, "READ_LOGS=true")
	c := e.Run(t, p.Name, nil, "-name", "read", "-lines", "60", "-rate", "10", "-hold")
	time.Sleep(3 * time.Second)
	middle := time.Now().UTC().Format(time.RFC3339Nano)

	follow := e.Command("logs", "--follow", "--tail", "0", c.ID)
	pipe, err := follow.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	engine.Start(t, follow)
	followed := make(chan string, 100)
	go func() {
		defer close(followed)
		for lines := bufio.NewScanner(pipe); lines.Scan(); {
			followed <- lines.Text()
		}
	}()
	late := time.After(20 * time.Second)
	for last := ""; last != "read 59"; {
		select {
		case last = <-followed:
		case <-late:
			t.Fatalf("docker logs --follow has stopped at %q", last)
		}
	}

	all := lines(e.Docker(t, "logs", c.ID))
	if len(all) != 60 || all[0] != "read 0" || all[59] != "read 59" {
		t.Errorf("docker logs: %d lines: %q", len(all), all)
	}
	if tail := lines(e.Docker(t, "logs", "--tail", "3", c.ID)); len(tail) != 3 || tail[0] != "read 57" {
		t.Errorf("docker logs --tail 3: %q", tail)
	}
	until := lines(e.Docker(t, "logs", "--until", middle, c.ID))
	since := lines(e.Docker(t, "logs", "--since", middle, c.ID))
	if len(until)+len(since) != 60 || len(until) < 10 || len(since) < 10 || since[len(since)-1] != "read 59" {
		t.Errorf("docker logs --until and --since: %d and %d lines", len(until), len(since))
	}
	e.Docker(t, "kill", c.ID)
	if ended := lines(e.Docker(t, "logs", c.ID)); len(ended) != 60 {
		t.Errorf("docker logs of the ended container: %d lines", len(ended))
	}
}

func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

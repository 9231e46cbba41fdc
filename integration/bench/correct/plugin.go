// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// plugin is Remora's log driver without any setting, run as a process: the bench plays the engine.
type plugin struct{}

func (plugin) name() string { return "remora-driver" }

func (plugin) version(bin string) string { return saidVersion(bin, "--version") }

func (plugin) form() form { return frames }

func (plugin) socket(p *place) string { return filepath.Join(p.dir, "plugin.sock") }

func (d plugin) command(bin string, p *place) (*exec.Cmd, error) {
	cmd := exec.Command(bin, "run", "--socket", d.socket(p))
	cmd.Env = append(os.Environ(), "REMORA_STATE_DIR="+p.state, "LOGGING_OUTPUT=elasticsearch", "ELASTICSEARCH_HOSTS="+p.url(),
		"ELASTICSEARCH_INDEX=bench")
	return cmd, nil
}

// attach tells the plugin about the container, as the engine does once.
func (d plugin) attach(p *place) error {
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", d.socket(p))
	}}}
	request, err := json.Marshal(map[string]any{
		"File": p.logs.path(), "Info": map[string]string{"ContainerID": "0123456789abcdef", "ContainerName": "/web"},
	})
	if err != nil {
		return err
	}
	for range 100 {
		time.Sleep(50 * time.Millisecond)
		var response *http.Response
		if response, err = client.Post("http://plugin/LogDriver.StartLogging", "application/json", bytes.NewReader(request)); err != nil {
			continue // it does not listen yet
		}
		var answer struct{ Err string }
		err = json.NewDecoder(response.Body).Decode(&answer)
		_ = response.Body.Close()
		if err == nil && answer.Err != "" {
			err = fmt.Errorf("the plugin refuses: %s", answer.Err)
		}
		return err
	}
	return err
}

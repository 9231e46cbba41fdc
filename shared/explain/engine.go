// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/escape"
)

// defaultHost is the default address of the Docker engine.
const defaultHost = "unix:///var/run/docker.sock"

// inspection is the part of the engine's answer that is used (moby, api/types/container, InspectResponse). The rest, which
// may contain secrets, is not decoded.
type inspection struct {
	ID     string `json:"Id"`
	Name   string
	Path   string
	Args   []string
	Image  string
	Config struct {
		Image  string
		Labels map[string]string
		Env    []string
	}
	HostConfig struct {
		LogConfig struct {
			Type   string
			Config map[string]string
		}
	}
}

// inspect asks the engine for a container.
func (c *Command) inspect(ctx context.Context) ([]unit, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var i inspection
	host := cmp.Or(c.Host, os.Getenv("DOCKER_HOST"), defaultHost)
	if err := get(ctx, host, "/containers/"+url.PathEscape(c.Container)+"/json", &i); err != nil {
		return nil, fmt.Errorf("container %s: %w", escape.Word(c.Container), err)
	}
	var plugin pluginSettings
	if driver := i.HostConfig.LogConfig.Type; IsRemora(driver) {
		plugin = askPlugin(ctx, host, driver)
	}
	return []unit{liveUnit(i, plugin)}, nil
}

// IsRemora reports whether a log driver's name is that of this plugin: remora, remora:latest, registry/remora:1.
func IsRemora(driver string) bool {
	name := driver[strings.LastIndexByte(driver, '/')+1:]
	name, _, _ = strings.Cut(name, ":")
	return name == "remora"
}

// get decodes the engine's answer to a request on its socket.
func get(ctx context.Context, host, path string, into any) error {
	socket, ok := strings.CutPrefix(host, "unix://")
	if !ok {
		return fmt.Errorf("the engine's address %s is not of the form unix:///path", host)
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker"+path, nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return fmt.Errorf("asking the engine: %w", err)
	}
	defer response.Body.Close()
	body := io.LimitReader(response.Body, 16<<20)
	if response.StatusCode != http.StatusOK {
		var refusal struct{ Message string }
		if json.NewDecoder(body).Decode(&refusal) != nil || refusal.Message == "" {
			refusal.Message = response.Status
		}
		return errors.New("the engine answers: " + escape.Text(refusal.Message))
	}
	if err := json.NewDecoder(body).Decode(into); err != nil {
		return fmt.Errorf("the engine's answer: %w", err)
	}
	return nil
}

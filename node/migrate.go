// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/remora-logs/remora/node/migrate"
	"github.com/remora-logs/remora/shared/command"
	"github.com/remora-logs/remora/shared/escape"
)

// migrateCommand converts a manifest of log-pilot into one of the node agent.
type migrateCommand struct {
	File      string `arg:"" default:"-" placeholder:"FILE" help:"log-pilot's manifest: a Kubernetes workload, a Compose file, or what docker inspect prints; - for standard input (default)."`
	Image     string `placeholder:"IMAGE" default:"remora-node:latest" help:"The node agent's image (default: ${default})."`
	Type      string `enum:"filebeat,fluentd," default:"" placeholder:"TYPE" help:"What log-pilot ran, where the manifest does not tell: filebeat or fluentd."`
	Container string `placeholder:"NAME" help:"log-pilot's container or service, where its image does not tell."`
	State     string `placeholder:"DIR" help:"log-pilot's state on this node (/var/lib/filebeat, or fluentd's /pilot/pos), to see what would be taken over."`
	JSON      bool   `name:"json" help:"Print JSON: the manifest, and what is different."`
}

// Help returns the text below the command's flags.
func (c *migrateCommand) Help() string {
	return `Example:
  remora-node migrate log-pilot.yaml > remora.yaml
  docker inspect log-pilot | remora-node migrate

The manifest is printed behind comments that say what is different. It holds the secrets that log-pilot's held; the comments
hold none. Nothing is fetched, applied or changed.`
}

// Run is called by kong.
func (c *migrateCommand) Run(k *kong.Context) error {
	in, name := io.Reader(os.Stdin), "standard input"
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return command.WithCode(err, command.ExitUsage)
		}
		defer f.Close()
		in, name = f, escape.Word(c.File)
	}
	result, err := migrate.Run(in, migrate.Options{Image: c.Image, Mode: c.Type, Container: c.Container})
	if err != nil {
		return command.WithCode(fmt.Errorf("%s: %w", name, err), command.ExitUsage)
	}
	if c.State != "" {
		told, err := stateOfPilot(c.State)
		if err != nil {
			return command.WithCode(err, command.ExitUsage)
		}
		result.Records = append(result.Records, told)
	}
	if c.JSON {
		encoder := json.NewEncoder(k.Stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(struct {
			Manifest string `json:"manifest"`
			*migrate.Result
		}{string(result.Manifest), result})
	}
	return result.Write(k.Stdout)
}

// stateOfPilot returns a message about what the agent takes over from log-pilot's state in dir.
func stateOfPilot(dir string) (string, error) {
	r, err := readRegistry(filepath.Join(dir, "registry"))
	if err == nil {
		return fmt.Sprintf("%s: the agent takes over the positions of %d files at its first start", escape.Word(dir), len(r.offsets)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	positions := 0
	for _, f := range files {
		if strings.HasSuffix(f.Name(), ".pos") {
			positions++
		}
	}
	if positions == 0 {
		return escape.Word(dir) + " holds neither Filebeat's registry nor positions of fluentd: nothing is taken over", nil
	}
	return fmt.Sprintf("%s holds %d files of fluentd's positions, which are not taken over: set REMORA_READ_FROM=end to begin with what is written from then on",
		escape.Word(dir), positions), nil
}

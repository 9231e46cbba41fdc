// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// fileD saves its offsets once a second, and has the highest number of retries. With persistence_mode: sync, which its page
// calls very slow and which keeps it from sending twice, it took minutes where others took seconds.
type fileD struct{}

func (fileD) name() string { return "file.d" }

func (fileD) version(bin string) string { return moduleVersion(bin, "github.com/ozontech/file.d") }

func (fileD) form() form { return plain }

func (fileD) command(bin string, p *place) (*exec.Cmd, error) {
	var conf strings.Builder
	conf.WriteString("pipelines:\n")
	for _, s := range p.streams() {
		fmt.Fprintf(&conf, `  %s:
    settings: {decoder: raw, capacity: 1024, max_event_size: 0}
    input:
      type: file
      paths: {include: [%s]}
      offsets_file: %s/%[1]s.yaml
      persistence_mode: async
      maintenance_interval: 1s
    output:
      type: elasticsearch
      endpoints: [%[4]s]
      index_format: %[5]s
      batch_op_type: create
      batch_flush_timeout: 100ms
      retry: 1000000
      fatal_on_failed_insert: true
      connection_timeout: 5s
`, s.name, s.path, p.state, p.url(), s.index)
	}
	path := filepath.Join(p.dir, "file.d.yaml")
	return exec.Command(bin, "--config", path, "--http", "off"), os.WriteFile(path, []byte(conf.String()), 0o600)
}

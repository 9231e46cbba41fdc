// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// otelcol keeps its positions and its queue in a file storage that syncs, retries for ever, and reads rotated and compressed
// files, as its guides for resiliency and its receiver's page advise.
type otelcol struct{}

func (otelcol) name() string { return "otelcol" }

func (otelcol) version(bin string) string { return saidVersion(bin, "--version") }

func (otelcol) form() form { return plain }

func (otelcol) command(bin string, p *place) (*exec.Cmd, error) {
	if p.evil != "" {
		return nil, fmt.Errorf("%w: its protocol knows no index", errNoPart)
	}
	conf := fmt.Sprintf(`
receivers:
  file_log:
    include: ["%s*"]
    exclude: ["%[1]s*.tmp"]
    start_at: beginning
    compression: auto
    max_log_size: 4MiB
    storage: file_storage
    retry_on_failure: {enabled: true, max_elapsed_time: 0}
exporters:
  otlp_http:
    endpoint: %s
    encoding: json
    compression: none
    timeout: 5s
    retry_on_failure: {enabled: true, max_elapsed_time: 0}
    sending_queue:
      storage: file_storage
      sizer: items
      queue_size: 1000000
      block_on_overflow: true
extensions:
  file_storage: {directory: %s, create_directory: true, fsync: true}
service:
  telemetry:
    metrics: {level: none}
    logs: {level: warn}
  extensions: [file_storage]
  pipelines:
    logs: {receivers: [file_log], exporters: [otlp_http]}
`, p.logs.path(), p.url(), p.state)
	path := filepath.Join(p.dir, "otelcol.yaml")
	return exec.Command(bin, "--config", "file:"+path), os.WriteFile(path, []byte(conf), 0o600)
}

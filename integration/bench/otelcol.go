// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// otelcol is configured as the collector's guides for scaling advise: the exporter's queue makes batches, and blocks when it
// is full rather than lose records; positions are kept in a file storage. The tags are attributes of the resource, once per
// request and not per record.
func otelcol(bin string, j *job) (*exec.Cmd, error) {
	if j.kafka {
		return nil, fmt.Errorf("%w: it is set up for OTLP over HTTP", errNoPart)
	}
	parse := ""
	switch {
	case j.form.name != "":
		parse = "\n    operators: [{type: container, format: " + map[string]string{"cri": "containerd", "docker": "docker"}[j.form.name] +
			", add_metadata_from_filepath: false}]"
	case j.parse && j.kind == "json":
		parse = "\n    operators: [{type: json_parser, parse_to: body}]"
	case j.parse:
		parse = otelcolNginx
	}
	conf := fmt.Sprintf(`
receivers:
  file_log:
    include: [%s]
    start_at: beginning
    include_file_name: false
    storage: file_storage%s
processors:
  resource:
    attributes:
      - {key: k8s.pod.name, value: shop-web-1, action: insert}
      - {key: k8s.namespace.name, value: shop, action: insert}
      - {key: k8s.pod.uid, value: "0123", action: insert}
      - {key: k8s.node.name, value: node-1, action: insert}
      - {key: k8s.container.name, value: web, action: insert}
exporters:
  otlp_http:
    endpoint: %s
    encoding: json
    compression: %s
    sending_queue:
      sizer: items
      queue_size: 50000
      block_on_overflow: true
      num_consumers: 2
      batch: {flush_timeout: 200ms, sizer: items, min_size: 8192, max_size: 16384}
extensions:
  file_storage: {directory: %s}
service:
  telemetry:
    metrics: {level: none}
    logs: {level: warn}
  extensions: [file_storage]
  pipelines:
    logs: {receivers: [file_log], processors: [resource], exporters: [otlp_http]}
`, j.input(), parse, j.url(), cmp.Or(j.codec, "none"), j.dir)
	path := filepath.Join(j.dir, "otelcol.yaml")
	return exec.Command(bin, "--config", "file:"+path), os.WriteFile(path, []byte(conf), 0o600)
}

const otelcolNginx = `
    operators:
      - type: regex_parser
        parse_to: body
        regex: '^(?P<remote>[^ ]*) (?P<host>[^ ]*) (?P<user>[^ ]*) \[(?P<time>[^\]]*)\] "(?P<method>\S+)(?: +(?P<path>[^\"]*?)(?: +\S*)?)?" (?P<code>[^ ]*) (?P<size>[^ ]*)(?: "(?P<referer>[^\"]*)" "(?P<agent>[^\"]*)")'
        timestamp: {parse_from: body.time, layout: '%d/%b/%Y:%H:%M:%S %z'}`

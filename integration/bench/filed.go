// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// fileD is configured as its optimization tips advise, which is to experiment: with its default capacity, because a larger one
// cost a third of its speed and twice the memory here, and with few workers. With its default batch_flush_timeout of 200 ms it
// stalled repeatedly, apparently because all events of its pool were waiting in batches that were not full; a shorter one
// ended that. Its offsets are saved once a second, its default, and its events have no identity.
func fileD(bin string, j *job) (*exec.Cmd, error) {
	if j.codec == "zstd" || j.kafka {
		return nil, fmt.Errorf("%w: it delivers to Elasticsearch, with gzip or without", errNoPart)
	}
	decoder, parse := "raw", ""
	switch {
	case j.form.name != "":
		decoder = j.form.name
	case j.parse && j.kind == "json":
		decoder = "json"
	case j.parse:
		parse = fileDNginx
	}
	conf := fmt.Sprintf(`
pipelines:
  bench:
    settings:
      decoder: %s
      capacity: 1024
      avg_log_size: 1024
    input:
      type: file
      paths:
        include: [%s]
      offsets_file: %s/offsets.yaml
      persistence_mode: async
    actions:%s
      - type: set_time
        field: "@timestamp"
        format: rfc3339nano
      - type: modify
        k8s_pod: shop-web-1
        k8s_pod_namespace: shop
        k8s_pod_uid: "0123"
        k8s_node_name: node-1
        k8s_container_name: web
    output:
      type: elasticsearch
      endpoints: [%s]
      index_format: bench
      batch_op_type: create
      use_gzip: %t
      gzip_compression_level: best-speed
      workers_count: gomaxprocs*1
      batch_flush_timeout: 20ms
`, decoder, j.input(), j.dir, parse, j.url(), j.codec == "gzip")
	path := filepath.Join(j.dir, "file.d.yaml")
	return exec.Command(bin, "--config", path, "--http", "off"), os.WriteFile(path, []byte(conf), 0o600)
}

// fileDNginx parses an access log's line. file.d's decoder for nginx is for its error log, so a regular expression is needed.
const fileDNginx = `
      - type: parse_re2
        field: message
        re2: '^(?P<remote>[^ ]*) (?P<host>[^ ]*) (?P<user>[^ ]*) \[(?P<time>[^\]]*)\] "(?P<method>\S+)(?: +(?P<path>[^\"]*?)(?: +\S*)?)?" (?P<code>[^ ]*) (?P<size>[^ ]*)(?: "(?P<referer>[^\"]*)" "(?P<agent>[^\"]*)")'
      - type: convert_date
        field: time
        source_formats: ['02/Jan/2006:15:04:05 -0700']
        target_format: rfc3339nano`

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// fluentBit follows its guide's advice for throughput: large buffers for tail, a worker for the output, no retries that lose
// data, and positions in a database, as Remora has checkpoints. It sends no identity of records: its Generate_ID costs it two
// thirds of its speed.
func fluentBit(bin string, j *job) (*exec.Cmd, error) {
	if j.codec == "zstd" || j.kafka {
		return nil, fmt.Errorf("%w: it delivers to Elasticsearch, with gzip or without", errNoPart)
	}
	path, parser, parserFile := j.input(), "", ""
	if j.form.name != "" { // as its guide for Kubernetes advises
		parser = "    multiline.parser " + j.form.name + "\n"
	}
	if j.parse {
		parser = "    Parser " + j.kind + "\n"
		parserFile = filepath.Join(j.dir, "parsers.conf")
		if err := os.WriteFile(parserFile, []byte(fluentBitParsers), 0o600); err != nil {
			return nil, err
		}
	}
	compress := ""
	if j.codec == "gzip" {
		compress = "    Compress gzip\n"
	}
	head := "[SERVICE]\n    Flush 0.2\n    Log_Level warn\n"
	if parserFile != "" {
		head += "    Parsers_File " + parserFile + "\n"
	}
	conf := head + fmt.Sprintf(`
[INPUT]
    Name tail
    Path %s
    Tag bench
    DB %s/tail.db
    Read_from_Head On
    Buffer_Chunk_Size 1M
    Buffer_Max_Size 8M
    Mem_Buf_Limit 50M
%s
[FILTER]
    Name record_modifier
    Match *
    Record k8s_pod shop-web-1
    Record k8s_pod_namespace shop
    Record k8s_pod_uid 0123
    Record k8s_node_name node-1
    Record k8s_container_name web

[OUTPUT]
    Name es
    Match *
    Host 127.0.0.1
    Port %d
    Index bench
    Suppress_Type_Name On
    Retry_Limit False
    Workers 1
    Buffer_Size False
%s`, path, j.dir, parser, j.port, compress)
	path = filepath.Join(j.dir, "fluent-bit.conf")
	return exec.Command(bin, "-c", path), os.WriteFile(path, []byte(conf), 0o600)
}

const fluentBitParsers = `
[PARSER]
    Name json
    Format json
    Time_Key time
    Time_Format %Y-%m-%dT%H:%M:%S.%LZ

[PARSER]
    Name nginx
    Format regex
    Regex ^(?<remote>[^ ]*) (?<host>[^ ]*) (?<user>[^ ]*) \[(?<time>[^\]]*)\] "(?<method>\S+)(?: +(?<path>[^\"]*?)(?: +\S*)?)?" (?<code>[^ ]*) (?<size>[^ ]*)(?: "(?<referer>[^\"]*)" "(?<agent>[^\"]*)")
    Time_Key time
    Time_Format %d/%b/%Y:%H:%M:%S %z
`

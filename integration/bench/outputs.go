// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os/exec"
)

// outputs are Remora's other outputs with a protocol of their own, with uncompressed bodies, that the bench's server answers.
// Compared with Elasticsearch's, they show the cost of a protocol.
var outputs = []struct {
	name     string
	settings func(j *job) []string
}{
	{"aliyun_sls", func(j *job) []string {
		return []string{"ALIYUNSLS_PROJECT=bench", "ALIYUNSLS_REGION_ENDPOINT=" + j.url(), "ALIYUNSLS_ACCESS_KEY_ID=id",
			"ALIYUNSLS_ACCESS_KEY_SECRET=secret", "ALIYUNSLS_COMPRESSION=none", "ALIYUNSLS_REGION=cn-hangzhou"}
	}},
	{"graylog", func(j *job) []string {
		return []string{"GRAYLOG_HOST=127.0.0.1", "GRAYLOG_PROTOCOL=tcp", fmt.Sprintf("GRAYLOG_PORT=%d", j.wirePort())}
	}},
	{"syslog", func(j *job) []string {
		return []string{"SYSLOG_HOST=127.0.0.1", "SYSLOG_PROTOCOL=tcp", fmt.Sprintf("SYSLOG_PORT=%d", j.wirePort())}
	}},
	{"redis", func(j *job) []string {
		return []string{"REDIS_HOST=127.0.0.1", fmt.Sprintf("REDIS_PORT=%d", j.wirePort())}
	}},
	{"logstash", func(j *job) []string {
		return []string{"LOGSTASH_HOST=127.0.0.1", "LOGSTASH_COMPRESSION_LEVEL=0", fmt.Sprintf("LOGSTASH_PORT=%d", j.wirePort())}
	}},
	{"fluentd", func(j *job) []string {
		return []string{fmt.Sprintf("FLUENTD_ADDRESS=127.0.0.1:%d", j.wirePort())}
	}},
	{"splunk", func(j *job) []string {
		return []string{"SPLUNK_URL=" + j.url(), "SPLUNK_TOKEN=token", "SPLUNK_GZIP=false"}
	}},
}

// outputRows returns the sidecar with Elasticsearch's output, and with each of the others.
func outputRows() []collector {
	all := []collector{{name: remoraName, command: remora}}
	for _, o := range outputs {
		all = append(all, collector{name: remoraName, protocol: o.name, command: func(_ string, j *job) (*exec.Cmd, error) {
			j.wire = o.name
			cmd, err := remora("", j)
			cmd.Env = append(append(cmd.Env, "LOGGING_OUTPUT="+o.name), o.settings(j)...)
			return cmd, err
		}})
	}
	return all
}

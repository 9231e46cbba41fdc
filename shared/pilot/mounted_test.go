// SPDX-License-Identifier: Apache-2.0

package pilot

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestMountedConfigurationIsNamedWithItsKeys(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	filebeat := write("filebeat.yml", `
# exclude_files: ["x"]
filebeat.config:
  inputs: {path: x}
processors:
- drop_event: {}
output.elasticsearch:
    hosts: ["http://user:secret@es:9200"]
    index: "app-%{+yyyy.MM}"
`)
	template := write("filebeat.tpl", "{{range .configList}}\n- type: log\n  exclude_lines: ['^DEBUG']\n  exclude_lines: []\n  multiline.pattern: x\n  close_eof: true\n{{end}}\n")
	fluentd := write("fluentd.conf", "<match docker.**>\n  @type elasticsearch\n  password secret\n  logstash_prefix app\n</match>\n<parse>\n</parse>\n")
	fifo := filepath.Join(dir, "fifo")
	require.NoError(t, unix.Mkfifo(fifo, 0o600))
	endless := write("endless", strings.Repeat("x", 4*maxMounted))

	got := unusedFiles([]string{filebeat, template, fluentd, fifo, endless, filepath.Join(dir, "absent")})
	const head = " is mounted and not used: write settings as variables, rules into REMORA_CONFIG"
	require.Equal(t, []string{
		filebeat + head + "; in it, processors (here: drop, add, remove and rename of a log), output.elasticsearch (here: LOGGING_OUTPUT), hosts (here: the output's hosts, such as ELASTICSEARCH_HOSTS), index (here: ELASTICSEARCH_INDEX)",
		template + head + "; in it, exclude_lines (here: drop of a log), multiline.pattern (here: multiline.start and the like of a log)",
		fluentd + head + "; in it, <match (here: LOGGING_OUTPUT), logstash_prefix (here: ELASTICSEARCH_INDEX), <parse> (here: format of a log)",
		fifo + head, endless + head,
	}, got)
}

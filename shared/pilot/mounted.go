// SPDX-License-Identifier: Apache-2.0

package pilot

import (
	"bufio"
	"io"
	"os"
	"slices"
	"strings"
)

// mounted are files of log-pilot's configuration that people mount over its own. None of them is used.
var mounted = []string{"/etc/filebeat/filebeat.yml", "/etc/fluentd/fluentd.conf", "/pilot/filebeat.tpl", "/pilot/fluentd.tpl",
	"/pilot/config.filebeat", "/pilot/config.fluentd"}

// maxMounted is how much of such a file is read, in bytes.
const maxMounted = 256 << 10

// counterparts are keys of Filebeat's and fluentd's configuration that change what is delivered, and what sets that here. A
// key with a dot at its end stands for all that begin with it.
var counterparts = map[string]string{
	// Filebeat
	"include_lines": "keep of a log", "exclude_lines": "drop of a log", "exclude_files": "exclude of a log", "encoding": "encoding of a log",
	"ignore_older": "ignore_older of a log, or REMORA_IGNORE_OLDER", "tail_files": "read_from=end of a log", "multiline.": "multiline.start and the like of a log",
	"multiline": "multiline.start and the like of a log", "json.": "format=json of a log", "json": "format=json of a log", "fields": "tags of a log",
	"max_bytes": "REMORA_MAX_RECORD_BYTES", "pipeline": "pipeline of a log", "processors": "drop, add, remove and rename of a log",
	"output.": "LOGGING_OUTPUT", "hosts": "the output's hosts, such as ELASTICSEARCH_HOSTS", "index": "ELASTICSEARCH_INDEX", "topic": "target of a log",
	"topics": "target of a log", "key": "REDIS_KEY", "partition.": "KAFKA_PARTITION_KEY", "compression": "KAFKA_COMPRESSION_CODEC",
	"required_acks": "KAFKA_REQUIRE_ACKS", "bulk_max_size": "REMORA_BATCH_RECORDS", "worker": "REMORA_WORKERS", "queue.": "REMORA_BATCH_BYTES",
	// fluentd
	"<match": "LOGGING_OUTPUT", "<filter": "drop, add, remove and rename of a log", "<parse>": "format of a log", "format": "format of a log",
	"time_format": "format.time_format of a log", "time_key": "format.time_key of a log", "index_name": "ELASTICSEARCH_INDEX", "logstash_prefix": "ELASTICSEARCH_INDEX",
	"logstash_dateformat": "ELASTICSEARCH_INDEX", "type_name": "ELASTICSEARCH_TYPE", "default_topic": "KAFKA_DEFAULT_TOPIC", "brokers": "KAFKA_BROKERS",
	"multiline_flush_interval": "multiline.timeout of a log", "format_firstline": "multiline.start of a log",
}

// UnusedFiles names the files of log-pilot's configuration that are mounted, and what in them has a counterpart.
func UnusedFiles() (warnings []string) { return unusedFiles(mounted) }

func unusedFiles(paths []string) (warnings []string) {
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			continue
		}
		warning := path + " is mounted and not used: write settings as variables, rules into REMORA_CONFIG"
		if keys := relevantKeys(path); info.Mode().IsRegular() && len(keys) > 0 {
			warning += "; in it, " + strings.Join(keys, ", ")
		}
		warnings = append(warnings, warning)
	}
	return warnings
}

// relevantKeys lists the keys in the file at path that have a counterpart, in order and each once. Values may be secrets and
// are never returned.
func relevantKeys(path string) (keys []string) {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() { // to open a FIFO would wait
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, maxMounted))
	for lines.Scan() {
		key := keyOf(lines.Text())
		ours, ok := counterparts[key]
		if group, _, dotted := strings.Cut(key, "."); !ok && dotted {
			ours, ok = counterparts[group+"."]
		}
		if name := key + " (here: " + ours + ")"; ok && !slices.Contains(keys, name) {
			keys = append(keys, name)
		}
	}
	return keys
}

// keyOf returns the key that a line of YAML or of fluentd's configuration begins with; empty for a comment.
func keyOf(line string) string {
	line = strings.TrimLeft(line, " \t-")
	open := strings.HasPrefix(line, "<")
	line = strings.TrimPrefix(line, "<")
	end := strings.IndexFunc(line, func(r rune) bool { return r != '.' && r != '_' && (r < 'a' || r > 'z') })
	if end < 0 {
		end = len(line)
	}
	switch key := line[:end]; {
	case open && strings.HasPrefix(line[end:], ">"):
		return "<" + key + ">"
	case open:
		return "<" + key
	default:
		return key
	}
}

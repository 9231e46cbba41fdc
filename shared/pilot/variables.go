// SPDX-License-Identifier: Apache-2.0

package pilot

import (
	"regexp"
	"slices"
	"strings"
)

// A variable of log-pilot's is one of ours, means the same as one of ours, or has no effect. The tables hold those of its
// entrypoint, config.filebeat and config.fluentd that are not ours by name and meaning.

// renamed are log-pilot's variables that mean the same as one of ours.
var renamed = map[string]string{
	"KAFKA_BROKER_TIMEOUT": "KAFKA_TIMEOUT", "KAFKA_REQUIRED_ACKS": "KAFKA_REQUIRE_ACKS", "KAFKA_MAX_SEND_LIMIT_BYTES": "KAFKA_MAX_MESSAGE_BYTES",
	"SSL_VERIFY": "ALIYUNSLS_SSL_VERIFY",
}

// inSeconds are variables whose value, where it has no unit, log-pilot takes for seconds.
var inSeconds = []string{"KAFKA_BROKER_TIMEOUT", "REDIS_TIMEOUT"}

// needless are log-pilot's variables that need no counterpart: what they set does not exist here, or sets itself.
var needless = []string{
	"PILOT_TYPE", "DOCKER_API_VERSION", "FILEBEAT_MAX_PROCS", "FILEBEAT_METRICS_ENABLED", "FILEBEAT_SHUTDOWN_TIMEOUT", "FLUENTD_WORKER",
	"FLUENTD_ENABLE_MONITOR",
}

// without are log-pilot's variables that have no counterpart, and what to use instead; empty for nothing.
var without = map[string]string{
	"CONSOLE_PRETTY": "CONSOLE_FORMAT", "KAFKA_WORKER": "REMORA_WORKERS", "KAFKA_BULK_MAX_SIZE": "REMORA_BATCH_RECORDS and REMORA_BATCH_BYTES",
	"KAFKA_PARTITION": "KAFKA_PARTITION_KEY", "KAFKA_METADATA": "", "KAFKA_KEEP_ALIVE": "", "KAFKA_CHANNEL_BUFFER_SIZE": "", "KAFKA_OUTPUT_DATA_TYPE": "",
	"KAFKA_DEFAULT_PARTITION_KEY": "KAFKA_PARTITION_KEY", "KAFKA_DEFAULT_MESSAGE_KEY": "KAFKA_PARTITION_KEY", "KAFKA_MAX_SEND_RETRIES": "",
	"KAFKA_ACK_TIMEOUT": "KAFKA_TIMEOUT", "KAFKA_OUTPUT_INCLUDE_TAG": "", "KAFKA_OUTPUT_INCLUDE_TIME": "", "KAFKA_EXCLUDE_TOPIC_KEY": "",
	"KAFKA_EXCLUDE_PARTITION_KEY": "", "KAFKA_GET_KAFKA_CLIENT_LOG": "", "KAFKA_KAFKA_AGG_MAX_BYTES": "REMORA_BATCH_BYTES",
	"KAFKA_KAFKA_AGG_MAX_MESSAGES": "REMORA_BATCH_RECORDS", "KAFKA_DISCARD_KAFKA_DELIVERY_FAILED": "",
	"REDIS_WORKER": "REMORA_WORKERS", "REDIS_LOADBALANCE": "", "REDIS_BULK_MAX_SIZE": "REMORA_BATCH_RECORDS", "LOGSTASH_SLOW_START": "",
	"FILE_APPEND": "", "FILE_BUFFER_TYPE": "", "FILE_BUFFER_TIME_KEY": "FILE_NAME", "FILE_BUFFER_TIME_KEY_WAIT": "",
	"FILE_BUFFER_TIME_KEY_USE_UTC": "FILE_TIME_ZONE", "SYSLOG_SEVERITY": "",
	"FLUENTD_DISABLE_RETRY_LIMIT": "", "FLUENTD_MAX_RETRY_WAIT": "REMORA_RETRY_MAX", "FLUENTD_NUM_THREADS": "REMORA_WORKERS",
	"FILEBEAT_INDEX": "ELASTICSEARCH_INDEX", "FILEBEAT_LOG_LEVEL": "REMORA_LOG_LEVEL", "FLUENTD_LOG_LEVEL": "REMORA_LOG_LEVEL",
}

// outputs are names in log-pilot's LOGGING_OUTPUT that are not ours, and the nearest of ours.
var outputs = map[string]string{"stdout": "console", "count": "null", "flowcounter": "null"}

// oldKafka are versions that Filebeat took and the Kafka output does not, oldestKafka is the oldest that it takes.
var oldKafka = regexp.MustCompile(`^v?0\.([0-9]|10)(\.[0-9]+)*$`)

const oldestKafka = "0.11.0"

var digits = regexp.MustCompile(`^[0-9]+$`)

// Verdict is what one of log-pilot's variables is here.
type Verdict struct {
	Name  string // ours; empty if the variable has no effect
	Value string
	Note  string // what is to be said of it, behind its name; never a value but an output's or a version. Empty for nothing
}

// Judge returns what a variable of log-pilot's is here, in one of its modes: its own for those that are ours, too. An empty
// mode is one that nobody knows.
func Judge(name, value, mode string) Verdict {
	same := Verdict{Name: name, Value: value}
	switch {
	case name == "FILEBEAT_OUTPUT" || name == "FLUENTD_OUTPUT" || name == "LOGGING_OUTPUT":
		return judgeOutput(name, value, mode)
	case name == "PILOT_TYPE" && defaults[value] != nil:
		return Verdict{Name: "REMORA_COMPAT", Value: value}
	case name == "KAFKA_VERSION" && oldKafka.MatchString(value):
		return Verdict{Name: name, Value: oldestKafka, Note: value + " is only an upper bound of the protocol, as for Filebeat: " + oldestKafka +
			" is used; remove it to use what the brokers have"}
	case name == "ELASTICSEARCH_INDEX" && mode == "filebeat" && !strings.ContainsAny(value, "{}%"):
		return Verdict{Name: name, Value: value + "-{yyyy.MM.dd}", Note: "is the beginning of an index name, as in log-pilot, which puts the day behind it. " +
			"Its own image ignored it and wrote to {target}-{yyyy.MM.dd}: remove it for that"}
	case slices.Contains(inSeconds, name) && digits.MatchString(value):
		same.Value += "s"
	}
	if ours := renamed[name]; ours != "" {
		same.Name = ours
		return same
	}
	instead, hasNone := without[name]
	switch {
	case slices.Contains(needless, name):
		return Verdict{}
	case instead != "":
		return Verdict{Note: "has no effect: set " + instead}
	case hasNone:
		return Verdict{Note: "has no effect"}
	case strings.HasPrefix(name, "FLUENTD_BUFFER_"), strings.HasPrefix(name, "FLUENTD_FLUSH_"), strings.HasPrefix(name, "FLUENTD_RETRY_"):
		return Verdict{Note: "has no effect: only what is in flight is buffered, and retries never end"}
	case name == "PILOT_CREATE_SYMLINK":
		return Verdict{Note: "has no effect: no links to volumes are made below /acs/log"}
	case strings.HasPrefix(name, "FILEBEAT_"):
		return Verdict{Note: "has no effect"}
	}
	return same
}

// judgeOutput is Judge for the variables that name the output.
func judgeOutput(name, value, mode string) Verdict {
	v := Verdict{Name: "LOGGING_OUTPUT", Value: value}
	if kind, _, _ := strings.Cut(strings.ToLower(name), "_"); kind != "logging" && mode != "" && kind != mode {
		return Verdict{Note: "has no effect: log-pilot ran " + mode}
	}
	if ours, ok := outputs[value]; ok {
		v.Value, v.Note = ours, "names the output "+value+" of log-pilot, which is not there: "+ours+" is used"
	}
	return v
}

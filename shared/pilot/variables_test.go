// SPDX-License-Identifier: Apache-2.0

package pilot_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/deliver"
	"github.com/remora-logs/remora/shared/pilot"
)

// all are the variables of log-pilot's config.filebeat and config.fluentd.
const all = `CONSOLE_PRETTY ELASTICSEARCH_HOST ELASTICSEARCH_PORT ELASTICSEARCH_HOSTS ELASTICSEARCH_USER ELASTICSEARCH_PASSWORD
ELASTICSEARCH_PATH ELASTICSEARCH_SCHEME ELASTICSEARCH_SSL_VERIFY ELASTICSEARCH_WORKER ELASTICSEARCH_BULK_MAX_SIZE ELASTICSEARCH_INDEX
LOGSTASH_HOST LOGSTASH_PORT LOGSTASH_WORKER LOGSTASH_LOADBALANCE LOGSTASH_BULK_MAX_SIZE LOGSTASH_SLOW_START REDIS_HOST REDIS_PORT
REDIS_PASSWORD REDIS_WORKER REDIS_DATATYPE REDIS_LOADBALANCE REDIS_TIMEOUT REDIS_BULK_MAX_SIZE KAFKA_BROKERS KAFKA_VERSION KAFKA_USERNAME
KAFKA_PASSWORD KAFKA_WORKER KAFKA_PARTITION_KEY KAFKA_PARTITION KAFKA_CLIENT_ID KAFKA_METADATA KAFKA_BULK_MAX_SIZE KAFKA_BROKER_TIMEOUT
KAFKA_CHANNEL_BUFFER_SIZE KAFKA_KEEP_ALIVE KAFKA_MAX_MESSAGE_BYTES KAFKA_REQUIRE_ACKS FILE_PATH FILE_NAME FILE_ROTATE_SIZE
FILE_NUMBER_OF_FILES FILE_PERMISSIONS FILE_COMPRESS FILE_FORMAT FILE_APPEND FILE_BUFFER_TYPE FILE_BUFFER_TIME_KEY
FILE_BUFFER_TIME_KEY_WAIT FILE_BUFFER_TIME_KEY_USE_UTC GRAYLOG_HOST GRAYLOG_PORT GRAYLOG_PROTOCOL ALIYUNSLS_PROJECT
ALIYUNSLS_REGION_ENDPOINT ALIYUNSLS_ACCESS_KEY_ID ALIYUNSLS_ACCESS_KEY_SECRET SSL_VERIFY ALIYUNSLS_NEED_CREATE_LOGSTORE
ALIYUNSLS_CREATE_LOGSTORE_TTL ALIYUNSLS_CREATE_LOGSTORE_SHARD_COUNT SYSLOG_HOST SYSLOG_PORT SYSLOG_FACILITY SYSLOG_SEVERITY SYSLOG_TAG
KAFKA_DEFAULT_TOPIC KAFKA_DEFAULT_PARTITION_KEY KAFKA_DEFAULT_MESSAGE_KEY KAFKA_OUTPUT_DATA_TYPE KAFKA_OUTPUT_INCLUDE_TAG
KAFKA_OUTPUT_INCLUDE_TIME KAFKA_EXCLUDE_TOPIC_KEY KAFKA_EXCLUDE_PARTITION_KEY KAFKA_GET_KAFKA_CLIENT_LOG KAFKA_MAX_SEND_RETRIES
KAFKA_REQUIRED_ACKS KAFKA_ACK_TIMEOUT KAFKA_COMPRESSION_CODEC KAFKA_KAFKA_AGG_MAX_BYTES KAFKA_KAFKA_AGG_MAX_MESSAGES
KAFKA_MAX_SEND_LIMIT_BYTES KAFKA_DISCARD_KAFKA_DELIVERY_FAILED FLUENTD_BUFFER_TYPE FLUENTD_BUFFER_CHUNK_LIMIT FLUENTD_FLUSH_INTERVAL
FLUENTD_FLUSH_MODE FLUENTD_DISABLE_RETRY_LIMIT FLUENTD_RETRY_LIMIT FLUENTD_RETRY_WAIT FLUENTD_MAX_RETRY_WAIT FLUENTD_NUM_THREADS
FLUENTD_LOG_LEVEL FLUENTD_ENABLE_MONITOR FLUENTD_OUTPUT FILEBEAT_OUTPUT FILEBEAT_INDEX FILEBEAT_LOG_LEVEL FILEBEAT_LOG_MAX_SIZE
FILEBEAT_LOG_MAX_FILE FILEBEAT_MAX_PROCS FILEBEAT_METRICS_ENABLED FILEBEAT_SHUTDOWN_TIMEOUT LOGGING_OUTPUT PILOT_TYPE
PILOT_LOG_PREFIX PILOT_CREATE_SYMLINK DOCKER_API_VERSION NODE_NAME`

// ours are the settings of the node agent and of all outputs.
func ours() map[string]bool {
	known := map[string]bool{}
	for _, part := range deliver.Sections("", new(config.Node)) {
		for _, s := range part.Settings {
			known[s.Name] = true
		}
	}
	return known
}

// Each of log-pilot's variables is a setting of ours, or becomes one, or is told to have no effect; and none of our own is told
// to have none.
func TestEveryVariableOfLogPilotIsJudged(t *testing.T) {
	known := ours()
	require.Greater(t, len(known), 150)
	for _, name := range strings.Fields(all) {
		v := pilot.Judge(name, "filebeat", "")
		switch {
		case v.Name != "":
			require.True(t, known[v.Name], "%s becomes %s, which is no setting", name, v.Name)
		case v.Note == "":
			require.Contains(t, []string{"DOCKER_API_VERSION", "FILEBEAT_MAX_PROCS", "FILEBEAT_METRICS_ENABLED", "FILEBEAT_SHUTDOWN_TIMEOUT", "FLUENTD_ENABLE_MONITOR"}, name)
		}
		if _, instead, ok := strings.Cut(v.Note, "set "); ok {
			for _, word := range strings.Split(instead, " and ") {
				require.True(t, known[word], "%s: %s", name, v.Note)
			}
		}
	}
	theirs := strings.Fields(all)
	for name := range known {
		v := pilot.Judge(name, "x", "fluentd")
		require.True(t, v == pilot.Verdict{Name: name, Value: "x"} || slices.Contains(theirs, name), "%s: %+v", name, v)
	}
}

func TestValuesThatMeanSomethingElse(t *testing.T) {
	for _, c := range []struct{ name, value, mode, ours, want string }{
		{"REDIS_TIMEOUT", "5", "", "REDIS_TIMEOUT", "5s"},
		{"REDIS_TIMEOUT", "5m", "", "REDIS_TIMEOUT", "5m"},
		{"KAFKA_BROKER_TIMEOUT", "30", "", "KAFKA_TIMEOUT", "30s"},
		{"ELASTICSEARCH_INDEX", "app", "filebeat", "ELASTICSEARCH_INDEX", "app-{yyyy.MM.dd}"},
		{"ELASTICSEARCH_INDEX", "{target}-{yyyy}", "filebeat", "ELASTICSEARCH_INDEX", "{target}-{yyyy}"},
		{"ELASTICSEARCH_INDEX", "app", "", "ELASTICSEARCH_INDEX", "app"},
		{"LOGGING_OUTPUT", "count", "", "LOGGING_OUTPUT", "null"},
		{"FLUENTD_OUTPUT", "kafka", "filebeat", "", ""},
		{"FLUENTD_OUTPUT", "kafka", "fluentd", "LOGGING_OUTPUT", "kafka"},
		{"PILOT_TYPE", "fluentd", "", "REMORA_COMPAT", "fluentd"},
		{"PILOT_TYPE", "klingon", "", "", ""},
		{"KAFKA_VERSION", "0.8.2.1", "", "KAFKA_VERSION", "0.11.0"},
		{"FLUENTD_ADDRESS", "a:1", "fluentd", "FLUENTD_ADDRESS", "a:1"},
	} {
		v := pilot.Judge(c.name, c.value, c.mode)
		require.Equal(t, c.ours, v.Name, "%+v", c)
		require.Equal(t, c.want, v.Value, "%+v", c)
	}
}

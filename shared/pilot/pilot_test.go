// SPDX-License-Identifier: Apache-2.0

package pilot

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The DaemonSet of log-pilot's documentation, with the image alone changed.
func TestSettingsOfLogPilot(t *testing.T) {
	at := files{state: t.TempDir(), secrets: t.TempDir()}
	require.NoError(t, os.WriteFile(filepath.Join(at.secrets, "es_credential"), []byte("elastic:pass:word\n"), 0o600))
	set, warnings := translate(map[string]string{
		"LOGGING_OUTPUT": "kafka", "FILEBEAT_OUTPUT": "elasticsearch", "ELASTICSEARCH_HOSTS": "a:9200", "PILOT_TYPE": "filebeat",
		"FLUENTD_OUTPUT": "file", "KAFKA_REQUIRED_ACKS": "1", "FILEBEAT_MAX_PROCS": "1",
	}, at)
	require.Empty(t, warnings)
	require.Equal(t, map[string]string{
		"REMORA_STATE_DIR": at.state + "/remora", "LOGGING_OUTPUT": "elasticsearch", "ELASTICSEARCH_USER": "elastic",
		"ELASTICSEARCH_PASSWORD": "pass:word", "KAFKA_REQUIRE_ACKS": "1", "REMORA_COMPAT": "filebeat",
		"ELASTICSEARCH_TYPE_DEFAULT": "doc", "FILE_NAME": "filebeat", "REDIS_KEY": "filebeat",
	}, set)
}

func TestWhatOfLogPilotHasNoEffectIsNamed(t *testing.T) {
	at := files{state: "/nowhere", secrets: t.TempDir()}
	require.NoError(t, os.WriteFile(filepath.Join(at.secrets, "es_credential"), []byte("secret"), 0o600))
	set, warnings := translate(map[string]string{"FLUENTD_BUFFER_TYPE": "file", "FILEBEAT_INDEX": "x", "PILOT_CREATE_SYMLINK": "true",
		"FILEBEAT_LOG_LEVEL": "debug", "FILEBEAT_EMPTY": ""}, at)
	require.Empty(t, set)
	text := strings.Join(warnings, "\n")
	for _, want := range []string{"es_credential is not of the form", "FLUENTD_BUFFER_TYPE", "FILEBEAT_INDEX", "PILOT_CREATE_SYMLINK",
		"FILEBEAT_LOG_LEVEL has no effect: set REMORA_LOG_LEVEL"} {
		require.Contains(t, text, want)
	}
	require.Len(t, warnings, 5)
	require.NotContains(t, text, "secret:")
}

func TestOurOwnSettingsStand(t *testing.T) {
	set, _ := translate(map[string]string{"REMORA_STATE_DIR": "/state", "KAFKA_TIMEOUT": "5s", "KAFKA_BROKER_TIMEOUT": "9s"},
		files{state: t.TempDir(), secrets: "/nowhere"})
	require.Empty(t, set)
}

func TestOldVersionsOfKafkaAreBounds(t *testing.T) {
	for version, want := range map[string]string{"0.10.0": "0.11.0", "0.8.2.1": "0.11.0", "0.9": "0.11.0", "0.11.0.1": "", "1.0.0": "", "10.0": "", "x": ""} {
		set, warnings := translate(map[string]string{"KAFKA_VERSION": version}, files{state: "/nowhere", secrets: "/nowhere"})
		require.Equal(t, want, set["KAFKA_VERSION"], version)
		require.Equal(t, want != "", len(warnings) == 1, version)
	}
}

func TestOutputsThatAreNotOurs(t *testing.T) {
	for theirs, ours := range map[string]string{"stdout": "console", "count": "null", "flowcounter": "null"} {
		set, warnings := translate(map[string]string{"LOGGING_OUTPUT": theirs}, files{state: "/nowhere", secrets: "/nowhere"})
		require.Equal(t, map[string]string{"LOGGING_OUTPUT": ours}, set)
		require.Len(t, warnings, 1)
	}
	set, warnings := translate(map[string]string{"LOGGING_OUTPUT": "kafka", "KAFKA_WORKER": "4", "KAFKA_METADATA": "x", "CONSOLE_PRETTY": "true"},
		files{state: "/nowhere", secrets: "/nowhere"})
	require.Empty(t, set)
	require.Equal(t, []string{"CONSOLE_PRETTY has no effect: set CONSOLE_FORMAT", "KAFKA_METADATA has no effect", "KAFKA_WORKER has no effect: set REMORA_WORKERS"}, warnings)
}

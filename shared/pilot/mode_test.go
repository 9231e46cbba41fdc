// SPDX-License-Identifier: Apache-2.0

package pilot

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheModeIsConcludedOnANodeAlone(t *testing.T) {
	registry := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(registry, "registry"), nil, 0o600))
	for _, c := range []struct {
		environ map[string]string
		at      files
		want    string
		told    bool
	}{
		{map[string]string{}, files{state: registry, positions: t.TempDir()}, "", false},
		{map[string]string{}, files{state: "/nowhere", positions: "/nowhere", conclude: true}, "", false},
		{map[string]string{}, files{state: registry, conclude: true}, "filebeat", true},
		{map[string]string{}, files{positions: t.TempDir(), conclude: true}, "fluentd", true},
		{map[string]string{"FLUENTD_OUTPUT": "kafka"}, files{conclude: true}, "fluentd", true},
		{map[string]string{"FILEBEAT_OUTPUT": "kafka"}, files{positions: t.TempDir(), conclude: true}, "filebeat", true},
		{map[string]string{"REMORA_COMPAT": "none"}, files{state: registry, conclude: true}, "", false},
		{map[string]string{"REMORA_COMPAT": "fluentd", "PILOT_TYPE": "filebeat"}, files{conclude: true}, "fluentd", false},
		{map[string]string{"PILOT_TYPE": "filebeat"}, files{}, "filebeat", false},
		{map[string]string{"PILOT_TYPE": "klingon"}, files{}, "", false},
	} {
		mode, why := modeOf(c.environ, c.at)
		require.Equal(t, c.want, mode, "%v", c)
		require.Equal(t, c.told, why != "", "%v", c)
	}
}

func TestDefaultsOfAModeGiveWayToSettings(t *testing.T) {
	set := defaultsOf("fluentd", map[string]string{"ELASTICSEARCH_TYPE_DEFAULT": "log", "FILE_NAME_FILE": "/x"})
	require.Equal(t, map[string]string{"ELASTICSEARCH_INDEX_TIME_ZONE": "Local", "FILE_TIME_ZONE": "Local"}, set)
	require.Empty(t, defaultsOf("", map[string]string{"ELASTICSEARCH_HOSTS": "http://es"}))
}

func TestAURLWithoutAPortMeans9200(t *testing.T) {
	for hosts, want := range map[string]string{
		"http://es": "http://es:9200", "https://es/path": "https://es:9200/path", "http://es:80": "http://es:80", "es": "es", "es:1": "es:1",
		"http://u:p@es, https://es2?x=1": "http://u:p@es:9200, https://es2:9200?x=1", "http://[::1]": "http://[::1]:9200", "": "",
		"http://es:": "http://es:9200", "http://%zz": "http://%zz",
	} {
		require.Equal(t, want, withPorts(hosts, "9200"), hosts)
	}
}

func TestEffectsAreTold(t *testing.T) {
	require.Empty(t, Effects(map[string]string{}))
	require.Empty(t, Effects(map[string]string{"REMORA_COMPAT": "none"}))
	for mode, names := range map[string][]string{
		"filebeat": {"index and topic", "beat.hostname", "prospector.type", "ELASTICSEARCH_TYPE_DEFAULT is doc", "REDIS_KEY is set and counts", "FILE_NAME is filebeat"},
		"fluentd":  {"index and topic", "in log, with its newline", "time beside @timestamp", "ELASTICSEARCH_INDEX_TIME_ZONE is Local", "ELASTICSEARCH_TYPE_DEFAULT is fluentd"},
	} {
		environ := map[string]string{"REMORA_COMPAT": mode, "REDIS_KEY": "mine"}
		for name, value := range defaultsOf(mode, environ) {
			environ[name] = value
		}
		text := strings.Join(Effects(environ), "\n")
		for _, name := range names {
			require.Contains(t, text, name)
		}
		require.NotContains(t, text, "mine")
	}
}

// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/output/settings"
)

var known = []settings.Section{{Settings: []settings.Setting{{Name: "REMORA_WORKERS"}, {Name: "LOGGING_OUTPUT"}, {Name: "REMORA_LOG_LEVEL"},
	{Name: "KAFKA_PASSWORD", Secret: true}, {Name: "REMORA_HOST"}}}}

func fileOf(t *testing.T, text string) *config.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "remora.yml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return config.ReadFile(path)
}

func TestTheEnvironmentWinsOverTheFile(t *testing.T) {
	f := fileOf(t, "logs: {a: stdout}\nsettings:\n  REMORA_WORKERS: 4\n  LOGGING_OUTPUT: [kafka, loki]\n  KAFKA_PASSWORD: secret\n  REMORA_HOST: &h node\n  REMORA_LOG_LEVEL: *h\n")
	require.NoError(t, f.Check(known))
	environ := map[string]string{"REMORA_WORKERS": "2", "KAFKA_PASSWORD_FILE": "/run/p", "REMORA_HOST": ""}
	f.Merge(environ)
	require.Equal(t, map[string]string{"REMORA_WORKERS": "2", "LOGGING_OUTPUT": "kafka,loki", "KAFKA_PASSWORD_FILE": "/run/p",
		"REMORA_HOST": "node", "REMORA_LOG_LEVEL": "node"}, environ, "a variable that is empty is not set")
}

func TestWhatIsWrongInTheFileHasItsLine(t *testing.T) {
	for text, wrong := range map[string]string{
		"settings:\n  REMORA_WORKRS: 4\n":                   "line 2: settings.REMORA_WORKRS: there is no such setting; did you mean REMORA_WORKERS?",
		"a: 1\nsettings: [x]\n":                             "line 2: settings must be a mapping",
		"settings:\n  REMORA_WORKERS: {a: b}\n":             "line 2: settings.REMORA_WORKERS must be a plain value",
		"settings:\n  LOGGING_OUTPUT: ['a,b']\n":            "line 2: settings.LOGGING_OUTPUT must be a plain value, or a list of plain values without commas",
		"settings:\n  REMORA_HOST: a\n  REMORA_HOST: b\n":   "line 3: settings.REMORA_HOST is there twice",
		"settings:\n  REMORA_CONFIG: /other.yml\n":          "line 2: settings.REMORA_CONFIG can only be a variable",
		"settings:\n  KAFKA_PASWORD: hunter2\n":             "line 2: settings.KAFKA_PASWORD: there is no such setting",
		"settings:\n  ? [a, b]\n  : c\n":                    "there is no such setting",
		"settings:\n  REMORA_WORKERS: &a [1, &b [2, *b]]\n": "must be a plain value",
	} {
		err := fileOf(t, text).Check(known)
		require.ErrorContains(t, err, wrong, text)
		require.NotContains(t, err.Error(), "hunter2")
	}
	for _, text := range []string{"", "# nothing\n", "settings:\n", "- a\n", "{", "outputs: {}\n"} {
		require.NoError(t, fileOf(t, text).Check(known), "others tell: %q", text)
	}
	require.NoError(t, config.ReadFile("/nowhere").Check(known))
}

func TestAnErrorNamesTheFileThatSetsTheValue(t *testing.T) {
	f := fileOf(t, "settings:\n  REMORA_WORKERS: 0\n  REMORA_HOST: h\n")
	environ := map[string]string{}
	f.Merge(environ)
	var c config.Common
	err := f.Explain(config.Load(environ, &c), environ)
	require.ErrorContains(t, err, "REMORA_WORKERS is 0; it must be at least 1\nREMORA_WORKERS is set in ")
	require.ErrorContains(t, err, "line 2")
	require.NotContains(t, err.Error(), "REMORA_HOST")
	require.NoError(t, f.Explain(nil, environ))
}

func TestWhatHasChangedInTheFile(t *testing.T) {
	was := fileOf(t, "settings: {REMORA_WORKERS: 4, REMORA_HOST: a, LOGGING_OUTPUT: x}\n")
	now := fileOf(t, "settings: {REMORA_WORKERS: 5, REMORA_LOG_LEVEL: debug, LOGGING_OUTPUT: x}\n")
	require.Equal(t, []string{"REMORA_HOST", "REMORA_LOG_LEVEL", "REMORA_WORKERS"}, was.Changed(now, nil))
	require.Equal(t, []string{"REMORA_HOST", "REMORA_LOG_LEVEL"}, was.Changed(now, map[string]string{"REMORA_WORKERS": "1"}))
	require.Empty(t, was.Changed(was, nil))
}

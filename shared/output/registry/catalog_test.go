// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "remora.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestNamedOutputsHaveSettingsOfTheirOwn(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	require.NoError(t, os.WriteFile(secret, []byte("s3cret\n"), 0o600))
	path := configFile(t, fmt.Sprintf(`
logs: {web: /logs/*.log}
outputs:
  hot-1:
    kind: elasticsearch
    ELASTICSEARCH_HOSTS: [http://hot-1:9200, http://hot-2:9200]
    ELASTICSEARCH_API_KEY_FILE: %s
  cold: {kind: file, FILE_PATH: %s/cold, FILE_SYNC: false, FILE_ROTATE_SIZE: 1000000}
`, secret, dir))
	c, err := ReadCatalog(map[string]string{"ELASTICSEARCH_PASSWORD": "of-another-cluster", "ELASTICSEARCH_USER": "me", "FILE_PATH": dir + "/kind"}, path)
	require.NoError(t, err)
	require.Equal(t, append(Names(), "hot-1", "cold"), c.Names())
	require.Equal(t, "elasticsearch", c.Kind("hot-1"))
	require.Equal(t, "kafka", c.Kind("kafka"))
	require.Empty(t, c.Kind("warm"))
	require.Equal(t, []string{"hot-1"}, c.Unused([]string{"cold", "console"}))
	require.Equal(t, []Section{{"logs", 2}}, c.Others())
	require.Equal(t, "http://hot-1:9200,http://hot-2:9200", c.find("hot-1").settings["ELASTICSEARCH_HOSTS"])

	sinks, err := c.OpenAll([]string{"hot-1", "cold", "file"}, 2) // an API key beside a password would be an error
	require.NoError(t, err)
	require.Len(t, sinks, 3)
	require.NoError(t, closeAll(sinks))
	require.DirExists(t, dir+"/cold")
	require.DirExists(t, dir+"/kind")
}

func TestWhatIsWrongInTheSectionOutputsHasItsLine(t *testing.T) {
	for text, want := range map[string][]string{
		"outputs: [a]": {"line 1: outputs must be a mapping"},
		"outputs:\n  Hot_1: {kind: null}\n  '': {kind: 'null'}":                 {`line 2: "Hot_1" can't name an output`, `line 3: "" can't name an output`},
		"outputs:\n  " + strings.Repeat("a", 33) + ": {kind: 'null'}":           {"line 2: ", "1 to 32"},
		"outputs:\n  a: {kind: kafak}":                                          {`line 2: outputs.a.kind: "kafak" is no kind of outputs`, "kafka"},
		"outputs:\n  a: {FILE_PATH: /x}\n  b:":                                  {"line 2: outputs.a has no kind", "line 3: outputs.b has no kind"},
		"outputs:\n  kafka: {kind: kafka}":                                      {"line 2: outputs.kafka is the name of a kind"},
		"outputs:\n  a:\n    kind: file\n    FILE_PAHT: /x":                     {"line 4: outputs.a.FILE_PAHT: unknown key", "did you mean FILE_PATH?"},
		"outputs:\n  a:\n    kind: file\n    KAFKA_BROKERS: x":                  {"line 4: outputs.a.KAFKA_BROKERS: unknown key; an output of kind file"},
		"outputs:\n  a:\n    kind: file\n    FILE_PATH: {x: y}":                 {"line 4: outputs.a.FILE_PATH must be a plain value"},
		"outputs:\n  a:\n    kind: redis\n    REDIS_HOST: ['a,b']":              {"line 4: outputs.a.REDIS_HOST must be"},
		"outputs:\n  a: {kind: 'null'}\n  a: {kind: console}":                   {`line 3: outputs: the key "a" is a duplicate`},
		"outputs:\n  a:\n    kind: file\n    kind: console":                     {`line 4: outputs.a: the key "kind" is a duplicate`},
		"outputs:\n  a:\n    kind: syslog\n    SYSLOG_PORT: tcp://10.0.0.1:514": {"line 4: outputs.a.SYSLOG_PORT must be a number"},
	} {
		_, err := ReadCatalog(nil, configFile(t, text))
		require.Error(t, err, text)
		for _, w := range want {
			require.ErrorContains(t, err, w, text)
		}
	}
}

// Nothing that a file holds is a secret's way into an error, a panic or a long list of workers.
func TestWorstFiles(t *testing.T) {
	var many strings.Builder
	many.WriteString("outputs:\n")
	for i := range 1000 {
		fmt.Fprintf(&many, "  o%d: {kind: 'null'}\n", i)
	}
	_, err := ReadCatalog(nil, configFile(t, many.String()))
	require.ErrorContains(t, err, "names 1000 outputs; at most 32")

	_, err = ReadCatalog(nil, configFile(t, "outputs:\n  a:\n    kind: elasticsearch\n    ELASTICSEARCH_PASSWORD: {x: hunter2}\n    ? [a, b]\n    : c"))
	require.ErrorContains(t, err, "line 4")
	require.NotContains(t, err.Error(), "hunter2")

	c, err := ReadCatalog(nil, configFile(t, "a: &a [*a]\n--- x"+strings.Repeat("x", maxFile)))
	require.NoError(t, err)
	require.ErrorContains(t, c.Unread(), "larger than")

	for _, text := range []string{"", "# nothing", "---", "outputs:", "outputs: {}"} {
		c, err := ReadCatalog(nil, configFile(t, text))
		require.NoError(t, err, text)
		require.NoError(t, c.Unread(), text)
		require.Equal(t, Names(), c.Names())
	}
}

func TestWrongValueNamesOutputSettingAndLine(t *testing.T) {
	c, err := ReadCatalog(nil, configFile(t, "outputs:\n\n  hot:\n    kind: kafka\n    KAFKA_BROKERS: b:9092\n    KAFKA_TIMEOUT: soon\n"))
	require.NoError(t, err)
	_, err = c.OpenAll([]string{"null", "hot"}, 1)
	require.ErrorContains(t, err, "output hot (")
	require.ErrorContains(t, err, "line 3): KAFKA_TIMEOUT")
}

func TestFileThatCannotBeReadIsSaidWhereANameIsMissing(t *testing.T) {
	c, err := ReadCatalog(map[string]string{}, filepath.Join(t.TempDir(), "none.yaml"))
	require.NoError(t, err)
	o, err := c.Open("null")
	require.NoError(t, err)
	require.NoError(t, o.Close())
	_, err = c.Open("hot")
	require.ErrorContains(t, err, `output "hot" is not known`)
	require.ErrorContains(t, err, "REMORA_CONFIG: open ")
}

// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/deliver"
	"github.com/remora-logs/remora/shared/output/registry"
	"github.com/remora-logs/remora/shared/pilot"
)

// variables are those of the container that mark names, in the documents of a manifest. What comes from elsewhere, or from
// Compose's own variables, is taken from at.
func variables(t *testing.T, manifest []byte, isIt func(image string) bool, at map[string]string) map[string]string {
	var visit func(node *yaml.Node) map[string]string
	visit = func(node *yaml.Node) map[string]string {
		node = follow(node)
		if image := member(node, "image"); image != nil && isIt(value(image)) {
			e := fromPod(node)
			if member(node, "environment") != nil {
				e = fromService(node)
			}
			all := map[string]string{}
			for _, v := range e.all {
				if all[v.name] = v.value; v.opaque {
					all[v.name] = at[v.name]
				}
			}
			return all
		}
		for _, child := range node.Content {
			if found := visit(child); found != nil {
				return found
			}
		}
		return nil
	}
	documents, err := read(bytes.NewReader(manifest))
	require.NoError(t, err)
	for _, d := range documents {
		if c := fromInspect(d.Content[0]); c != nil {
			d.Content[0] = c
		}
		require.NoError(t, (&copier{left: maxCopied}).own(d.Content[0]))
		if found := visit(d); found != nil {
			return found
		}
	}
	t.Fatal("no such container")
	return nil
}

// What log-pilot was set to is right for the agent: with the image alone replaced, by one that sets PILOT_TYPE, and migrated; and
// comes to the same.
func TestSettingsAreRightBothWays(t *testing.T) {
	elsewhere := map[string]string{"LOGGING_OUTPUT": "kafka", "KAFKA_BROKERS": "kafka:9092", "NODE_NAME": "n"}
	names, err := filepath.Glob("testdata/*.in")
	require.NoError(t, err)
	before, dir := os.Environ(), t.TempDir()
	t.Cleanup(func() { setEnviron(before) })
	for _, name := range names {
		in, err := os.ReadFile(name)
		require.NoError(t, err)
		r := run(t, string(in), Options{})
		var both [2]map[string]string
		for i := range both {
			environ := variables(t, r.Manifest, func(image string) bool { return strings.HasPrefix(image, "remora") }, elsewhere)
			if i == 0 {
				mode := environ["REMORA_COMPAT"]
				environ = variables(t, in, func(image string) bool { return strings.Contains(image, "pilot") }, elsewhere)
				environ["PILOT_TYPE"] = mode
			}
			if environ["FILE_PATH"] != "" {
				environ["FILE_PATH"] = filepath.Join(dir, environ["FILE_PATH"])
			}
			setEnviron(nil)
			for k, v := range environ {
				require.NoError(t, os.Setenv(k, v))
			}
			pilot.Adopt()
			var node config.Node
			require.NoError(t, deliver.Load(config.Environ(), new(config.Common), &node), name)
			outputs, err := registry.ReadCatalog(config.Environ(), "")
			require.NoError(t, err)
			sinks, err := outputs.OpenAll(node.Outputs, 1)
			require.NoError(t, err, name)
			for _, s := range sinks {
				require.NoError(t, s.Output.Close())
			}
			both[i] = config.Environ()
			if i == 1 {
				require.Empty(t, unknownTo(both[i]), name)
			}
		}
		for k, v := range both[1] {
			if k != "NODE_NAME" && k != "REMORA_HOST" { // which the migrated manifest adds
				require.Equal(t, v, both[0][k], "%s: %s", name, k)
			}
		}
	}
}

// unknownTo lists the variables that the agent would warn of.
func unknownTo(environ map[string]string) (names []string) {
	for _, u := range config.Unknown(environ, deliver.Sections("", new(config.Node), new(config.Loggers))) {
		names = append(names, u.Name)
	}
	return names
}

func setEnviron(all []string) {
	os.Clearenv()
	for _, v := range all {
		k, v, _ := strings.Cut(v, "=")
		_ = os.Setenv(k, v)
	}
}

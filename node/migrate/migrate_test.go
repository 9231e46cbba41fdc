// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the golden files")

func run(t testing.TB, in string, o Options) *Result {
	if o.Image == "" {
		o.Image = "remora-node:1.0"
	}
	r, err := Run(strings.NewReader(in), o)
	require.NoError(t, err)
	return r
}

// Manifests as log-pilot's documentation and examples have them, and of other forms. What is not log-pilot's stays as it is,
// comments and order are kept, and secrets are in the manifest alone.
func TestGoldenManifests(t *testing.T) {
	names, err := filepath.Glob("testdata/*.in")
	require.NoError(t, err)
	require.Len(t, names, 10)
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			in, err := os.ReadFile(name)
			require.NoError(t, err)
			r := run(t, string(in), Options{})
			var out bytes.Buffer
			require.NoError(t, r.Write(&out))
			golden := strings.TrimSuffix(name, ".in") + ".yaml"
			if *update {
				require.NoError(t, os.WriteFile(golden, out.Bytes(), 0o600))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), out.String())
			said := fmt.Sprint(r.Changes, r.Records, r.Missing)
			require.NotContains(t, said, "hun")
			_, err = Run(&out, Options{Image: "x"})
			require.ErrorContains(t, err, "no container of log-pilot", "it is one of Remora's now")
		})
	}
}

// What can't be read is refused in bounded time and memory, in words that quote nothing of it.
func TestWhatIsRefused(t *testing.T) {
	bomb := "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 12; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), ", "))
	}
	service := "services: {pilot: {image: log-pilot, environment: {FILEBEAT_OUTPUT: kafka}, x: *a11}}\n"
	for name, c := range map[string]struct{ in, want string }{
		"too large":    {"a: " + strings.Repeat("x", MaxInput), "larger than 4 MiB"},
		"aliases":      {bomb + service, "aliases stand for too much"},
		"itself":       {"services: {pilot: &p {image: log-pilot, x: *p}}", "aliases stand for too much"},
		"deep":         {strings.Repeat("[", 300) + strings.Repeat("]", 300), "nested more than 200 deep"},
		"deep YAML":    {"a: " + strings.Repeat("[", 300) + strings.Repeat("]", 300), "nested more than 200 deep"},
		"a template":   {"kind: {{ .Kind }}\nx: hunter2: y", "render it first"},
		"no YAML":      {"password: 'hunter2\nx: [", "no YAML"},
		"empty":        {"", "no container of log-pilot"},
		"another's":    {"services: {web: {image: nginx}}", "no container of log-pilot"},
		"not its name": {"services: {web: {image: nginx}}", "no container of log-pilot"},
		"istio":        {"services: {pilot: {image: istio/pilot}}", "no container of log-pilot"},
		"no mapping":   {"- 1\n- 2\n", "no container of log-pilot"},
	} {
		started := time.Now()
		_, err := Run(strings.NewReader(c.in), Options{Image: "i"})
		require.ErrorContains(t, err, c.want, name)
		require.NotContains(t, err.Error(), "hunter")
		require.Less(t, time.Since(started), 10*time.Second, name)
	}
	_, err := Run(strings.NewReader("services: {web: {image: nginx}}"), Options{Image: "i", Container: "a\nb"})
	require.ErrorContains(t, err, `no container or service "a\nb"`)
}

// Names from the manifest don't get out of the comments that they are told in.
func TestNamesStayInTheirComments(t *testing.T) {
	r := run(t, "services:\n  web:\n    image: log-pilot:filebeat\n    environment:\n      \"FILEBEAT_\\nimage: evil\\u2028x: y\": z\n", Options{})
	var out bytes.Buffer
	require.NoError(t, r.Write(&out))
	for line := range strings.Lines(out.String()) {
		require.False(t, strings.HasPrefix(line, "image"), out.String())
	}
	require.Equal(t, string(r.Manifest), withoutComments(out.String()))
}

// withoutComments takes off the comments that Write puts before a manifest.
func withoutComments(text string) string {
	_, manifest, ok := strings.Cut(text, "#\n#\n")
	for !ok && strings.HasPrefix(text, "#") {
		_, text, _ = strings.Cut(text, "\n")
		manifest = text
	}
	return manifest
}

// Whatever it is given, Run neither fails otherwise than by an error, nor writes what can't be read.
func FuzzRun(f *testing.F) {
	names, err := filepath.Glob("testdata/*.in")
	require.NoError(f, err)
	for _, name := range names {
		in, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(string(in))
	}
	f.Fuzz(func(t *testing.T, in string) {
		r, err := Run(strings.NewReader(in), Options{Image: "remora-node:1", Container: "pilot"})
		if err != nil {
			return
		}
		var out bytes.Buffer
		require.NoError(t, r.Write(&out))
		decoder := yaml.NewDecoder(&out)
		for {
			var document yaml.Node
			if err := decoder.Decode(&document); err != nil {
				require.Equal(t, "EOF", err.Error())
				return
			}
		}
	})
}

// Odd manifests, and what becomes of them.
func TestOddManifests(t *testing.T) {
	for name, c := range map[string]struct{ in, has, lacks, said string }{
		"what is no variable stays":       {"services: {p: {image: log-pilot, environment: ['', '=x', A=b]}}", "['', '=x', A=b", "", ""},
		"a key that is merged":            {"services: {p: {<<: [{image: log-pilot}, {environment: {FILEBEAT_OUTPUT: kafka}}]}}", "LOGGING_OUTPUT: kafka", "<<", ""},
		"two outputs":                     {"services: {p: {image: log-pilot, environment: {FLUENTD_OUTPUT: kafka, FILEBEAT_OUTPUT: file}}}", "LOGGING_OUTPUT", "FILEBEAT", "LOGGING_OUTPUT counts"},
		"two outputs, and one's image":    {"services: {p: {image: log-pilot:1-filebeat, environment: {FLUENTD_OUTPUT: kafka, FILEBEAT_OUTPUT: file}}}", "LOGGING_OUTPUT: file", "kafka", "log-pilot ran filebeat"},
		"all capabilities are dropped":    {"kind: Pod\nspec: {containers: [{name: p, image: log-pilot, securityContext: {capabilities: {add: [SYS_ADMIN], drop: [ALL]}}}]}", "DAC_READ_SEARCH", "SYS_ADMIN", "whoever they belong to"},
		"a digest, and a registry's port": {"kind: Pod\nspec: {containers: [{name: p, image: 'r:5000/acs/log-pilot@sha256:0a'}]}", "remora-node:1.0", "sha256", ""},
		"an anchor that others use":       {"services: {p: &x {image: log-pilot, environment: {A: b}}, q: {<<: *x, image: other}}", "q: {image: other, environment: {A: b}}", "&x", ""},
		"null everywhere":                 {"kind: Pod\nspec: {containers: [{name: p, image: log-pilot, env: , volumeMounts: , securityContext: }], volumes: }", "remora-state", "", ""},
		"values from elsewhere":           {"services: {p: {image: log-pilot, environment: [PILOT_TYPE, 'KAFKA_VERSION=${V}']}}", "'REMORA_COMPAT=${PILOT_TYPE}'", "", "KAFKA_VERSION takes its value from elsewhere"},
	} {
		r := run(t, c.in, Options{})
		require.Contains(t, string(r.Manifest), c.has, name)
		if c.lacks != "" {
			require.NotContains(t, string(r.Manifest), c.lacks, name)
		}
		require.Contains(t, fmt.Sprint(r.Changes, r.Missing), c.said, name)
	}
}

// A large manifest costs time in proportion to its size, whatever it repeats.
func TestManyOfEverythingIsCheap(t *testing.T) {
	var variables, services strings.Builder
	for i := range 30_000 {
		fmt.Fprintf(&variables, "FILEBEAT_%d: x\n      ", i)
	}
	for i := range 3_000 {
		fmt.Fprintf(&services, "  s%d: {image: log-pilot, environment: [FILEBEAT_OUTPUT=kafka]}\n", i)
	}
	var list strings.Builder
	for i := range 30_000 {
		fmt.Fprintf(&list, "      - FILEBEAT_%d=x\n", i)
	}
	var mounts, volumes strings.Builder
	for i := range 8_000 {
		fmt.Fprintf(&mounts, "    - {name: v%d, mountPath: /var/log/filebeat}\n", i)
		fmt.Fprintf(&volumes, "  - {name: v%d, emptyDir: {}}\n", i)
	}
	for name, in := range map[string]string{
		"mounts":    "kind: Pod\nspec:\n  containers:\n  - name: p\n    image: log-pilot\n    volumeMounts:\n" + mounts.String() + "  volumes:\n" + volumes.String(),
		"variables": "services:\n  pilot:\n    image: log-pilot\n    environment:\n      " + variables.String() + "A: b\n",
		"a list":    "services:\n  pilot:\n    image: log-pilot\n    environment:\n" + list.String(),
		"services":  "services:\n" + services.String(),
	} {
		started := time.Now()
		r := run(t, in, Options{})
		require.NotEmpty(t, r.Manifest)
		require.Less(t, time.Since(started), 10*time.Second, name)
	}
}

// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/shared/output/registry"
)

// foreign are variables on the pages that are not settings: Go's, the shell's, log-pilot's own.
var foreign = regexp.MustCompile(`^(HTTPS?_PROXY|NO_PROXY|KAFKA_BROKER_TIMEOUT|KAFKA_REQUIRED_ACKS|KAFKA_MAX_SEND_LIMIT_BYTES|(FILEBEAT|FLUENTD|PILOT)_\w+|KAFKA_PORT|NAME_FILE)$`)

var variable = regexp.MustCompile(`\b(?:REMORA|LOGGING|CONSOLE|FILE|KAFKA|ELASTICSEARCH|LOKI|OTEL|HTTPS?|PILOT|FILEBEAT|FLUENTD|READ|POD|NODE|CONTAINER|SYSLOG|GRAYLOG|REDIS|LOGSTASH|SPLUNK|ALIYUNSLS|NO)_[A-Z0-9_]*[A-Z0-9]\b`)

// Every setting that a page names is one: in text, tables and examples.
func TestPagesNameSettingsThatExist(t *testing.T) {
	known := map[string]bool{}
	table, err := os.ReadFile(filepath.Join(engine.Root(t), "docs", "settings.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range variable.FindAllString(string(table), -1) {
		known[name] = true
	}
	checked := 0
	for _, path := range pages(t) {
		if !strings.HasPrefix(path, "docs/") && !strings.HasPrefix(path, "README") && !strings.HasPrefix(path, "examples/") {
			continue
		}
		p := read(t, path)
		text := p.text
		for _, b := range p.blocks {
			text += b.text
		}
		for _, name := range variable.FindAllString(text, -1) {
			checked++
			if !known[name] && !known[strings.TrimSuffix(name, "_FILE")] && !foreign.MatchString(name) {
				t.Errorf("%s names %s, which is no setting", path, name)
			}
		}
	}
	if checked < 200 {
		t.Errorf("only %d names were found; has this test lost sight of some?", checked)
	}
}

// Every output has a page, and its first example opens it: all settings in it exist and fit together.
func TestOutputsHaveAPageWithAnExample(t *testing.T) {
	index := strings.Join(read(t, "docs/outputs/README.md").links, " ")
	for _, name := range registry.Names() {
		t.Run(name, func(t *testing.T) {
			p := read(t, "docs/outputs/"+name+".md")
			if !strings.Contains(index, name+".md") {
				t.Error("the list of outputs does not link to it")
			}
			environ := map[string]string{}
			for line := range strings.Lines(p.blocks[0].text) {
				key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
				if !ok {
					t.Fatalf("%q is no setting", line)
				}
				environ[key] = value
			}
			if environ["LOGGING_OUTPUT"] != name {
				t.Fatalf("its first example is not one of it: %v", environ)
			}
			if _, ok := environ["FILE_PATH"]; ok {
				environ["FILE_PATH"] = t.TempDir()
			}
			o, err := registry.Open(name, environ)
			if err != nil {
				t.Fatalf("its first example: %v", err)
			}
			if err := o.Close(); err != nil {
				t.Error(err)
			}
			if !strings.Contains(p.text, "delivered means") && name != "null" {
				t.Error("it does not say what delivered means")
			}
		})
	}
}

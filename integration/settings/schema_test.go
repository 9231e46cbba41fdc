// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/deliver"
	"github.com/remora-logs/remora/shared/output/registry"
	"github.com/remora-logs/remora/shared/output/settings"
)

// object is a JSON object. Its members are written in the order of their names.
type object = map[string]any

// typesOf are the forms that a value of each of settings' types may have in YAML.
var typesOf = map[string]object{
	"string":   {"type": []string{"string", "number", "boolean", "null"}},
	"boolean":  {"type": "boolean"},
	"integer":  {"type": "integer"},
	"number":   {"type": "number"},
	"duration": {"type": "string", "pattern": `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$|^0$`},
	"list":     {"type": []string{"string", "number", "array", "null"}, "items": object{"type": []string{"string", "number", "boolean"}}},
}

func property(s settings.Setting) object {
	p := maps.Clone(typesOf[s.Type])
	p["description"] = s.Doc
	if s.Default != "" {
		p["description"] = s.Doc + ". Default: " + s.Default
	}
	return p
}

// properties describes settings, and for secrets the file that holds the value.
func properties(all []settings.Setting) object {
	of := object{}
	for _, s := range all {
		of[s.Name] = property(s)
		if s.Secret {
			of[s.Name+"_FILE"] = object{"type": "string", "description": "File with the value of " + s.Name}
		}
	}
	return of
}

func closed(properties object) object {
	return object{"type": []string{"object", "null"}, "properties": properties, "additionalProperties": false}
}

// schema is the JSON Schema of the file REMORA_CONFIG.
func schema() object {
	all := object{}
	var kinds []any
	for _, section := range deliver.AllSections() {
		maps.Copy(all, properties(section.Settings))
	}
	delete(all, "REMORA_CONFIG")
	for _, section := range registry.Sections() {
		kind := properties(section.Settings)
		name := strings.TrimPrefix(section.Title, "Output ")
		kind["kind"] = object{"const": name}
		kinds = append(kinds, object{"if": object{"properties": object{"kind": object{"const": name}}}, "then": object{"properties": kind, "additionalProperties": false}})
	}
	output := object{"type": "object", "required": []string{"kind"}, "properties": object{"kind": object{"enum": registry.Names(),
		"description": "Kind of the output. The other keys are settings of that kind."}}, "allOf": kinds}
	logs := object{"type": []string{"object", "null"}, "propertyNames": object{"pattern": "^[A-Za-z0-9_-]{1,249}$"}, "additionalProperties": object{"$ref": "#/$defs/log"}}
	match := object{}
	pattern := object{"type": []string{"string", "number", "boolean", "array"}, "items": object{"type": []string{"string", "number", "boolean"}}}
	for name, mapping := range declare.MatchKeys() {
		if match[name] = pattern; mapping {
			match[name] = object{"type": "object", "additionalProperties": object{"anyOf": []any{pattern, object{"type": "null"}}}}
		}
	}
	inner := closed(maps.Clone(match))
	match["not"] = inner
	rule := object{"type": "object", "required": []string{"name"}, "additionalProperties": false, "properties": object{
		"name": object{"type": "string"}, "host": object{"type": "boolean"}, "match": closed(match), "logs": logs}}
	return object{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Remora: the file REMORA_CONFIG", "type": []string{"object", "null"},
		"additionalProperties": false, "$defs": object{"log": log()}, "properties": object{
			"settings": described(closed(all), "Settings by the names of their variables. A variable of the environment wins."),
			"outputs":  object{"type": []string{"object", "null"}, "description": "Outputs of a name, for LOGGING_OUTPUT and declarations.", "propertyNames": object{"pattern": "^[a-z0-9-]{1,32}$"}, "additionalProperties": output},
			"logs":     described(maps.Clone(logs), "Logs that the sidecar collects."),
			"collect":  object{"type": []string{"array", "null"}, "items": rule, "description": "Rules of the node agent."},
		}}
}

func described(o object, text string) object {
	o["description"] = text
	return o
}

// log is a declaration: its source, or its keys, with dots or as a tree.
func log() object {
	keys, chosen := declare.FileKeys()
	plain := []string{"string", "number", "boolean", "null"}
	value := object{"type": append(slices.Clone(plain), "array"), "items": object{"type": plain}}
	of, trees := object{"source": value}, map[string]object{"format": {"type": value}, "multiline": {}}
	for _, key := range keys {
		of[key] = value
		if above, below, ok := strings.Cut(key, "."); ok {
			trees[above][below] = value
		}
	}
	for name, tree := range trees {
		of[name] = object{"anyOf": []any{value, closed(tree)}}
	}
	words := object{}
	for _, key := range chosen {
		of[key] = object{"anyOf": []any{value, object{"type": "object", "additionalProperties": object{"type": plain}}}}
		words["^"+regexp.QuoteMeta(key)+`\..+`] = object{"type": plain}
	}
	return object{"anyOf": []any{object{"type": plain}, object{"type": "object", "properties": of, "patternProperties": words, "additionalProperties": false}}}
}

const schemaFile = "docs/remora.schema.json"

func TestSchemaDescribesEverySetting(t *testing.T) {
	path := filepath.Join(engine.Root(t), schemaFile)
	content, err := os.ReadFile(path)
	if err != nil && !*update {
		t.Fatal(err)
	}
	want, err := json.MarshalIndent(schema(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	same(t, path, content, append(want, '\n'))
}

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile(filepath.Join(engine.Root(t), schemaFile))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t *testing.T, s *jsonschema.Schema, text string) error {
	t.Helper()
	body, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(value)
}

func TestSchemaKnowsRightFromWrong(t *testing.T) {
	s := compiled(t)
	for _, right := range []string{"", "settings:", "settings: {REMORA_WORKERS: 4, LOGGING_OUTPUT: [a, b], REMORA_DRAIN_TIMEOUT: 1m30s, KAFKA_PASSWORD_FILE: /p}",
		"outputs: {hot: {kind: elasticsearch, ELASTICSEARCH_HOSTS: [a, b]}}", "logs: {a: stdout, b: {path: /x, format: {type: json, time_key: t}, tags.x: y, keep: [a, b]}}",
		"collect: [{name: r, match: {namespace: a, label: {app: [x, y]}, not: {pod: z}}, logs: {out: stdout}}]"} {
		if err := validate(t, s, right); err != nil {
			t.Errorf("%s: %v", right, err)
		}
	}
	for _, wrong := range []string{"setings: {}", "settings: {REMORA_WORKRS: 1}", "settings: {REMORA_WORKERS: many}", "settings: {REMORA_DRAIN_TIMEOUT: 5 minutes}",
		"settings: {REMORA_CONFIG: /x}", "outputs: {hot: {ELASTICSEARCH_HOSTS: a}}", "outputs: {hot: {kind: kafka, ELASTICSEARCH_HOSTS: a}}", "outputs: {hot: {kind: elastic}}",
		"logs: {a: {path: /x, fromat: json}}", "logs: {a: {format: {tme_key: x}}}", "collect: [{logs: {a: stdout}}]", "collect: [{name: r, match: {namepsace: x}}]"} {
		if validate(t, s, wrong) == nil {
			t.Errorf("%s is taken for right", wrong)
		}
	}
}

// The pages' and examples' files are what an editor with the schema takes for right.
func TestSchemaTakesTheExamples(t *testing.T) {
	s, root, found := compiled(t), engine.Root(t), 0
	block := regexp.MustCompile("(?s)```ya?ml\n(.*?)```")
	section := regexp.MustCompile(`(?m)^(settings|outputs|logs|collect):`)
	for _, pattern := range []string{"docs/*.md", "docs/outputs/*.md", "docs/zh-CN/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range block.FindAllStringSubmatch(string(text), -1) {
				if !section.MatchString(m[1]) || strings.Contains(m[1], "apiVersion:") || strings.Contains(m[1], "services:") {
					continue
				}
				found++
				if err := validate(t, s, m[1]); err != nil {
					t.Errorf("%s: %v\n%s", file, err, m[1])
				}
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(root, "deploy", "remora.yml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(t, s, string(text)); err != nil {
		t.Error(err)
	}
	if found < 5 {
		t.Errorf("only %d examples were found", found)
	}
}

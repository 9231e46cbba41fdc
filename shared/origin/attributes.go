// SPDX-License-Identifier: Apache-2.0

package origin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/remora-logs/remora/shared/record"
)

// Attributes returns the tags that Docker's own log options ask for: labels, labels-regex, env, env-regex and tag, which
// mean what they mean for the drivers that are built into the engine (moby daemon/logger/loginfo.go, ExtraAttributes, and
// daemon/logger/loggerutils/log_tag.go). What can't be understood is returned as errors that name the option, never its
// container's values; the other options still count. Sorted by key.
func (c Container) Attributes(options map[string]string) (found []record.Tag, problems []error) {
	values := map[string]string{}
	problems = append(problems, pick(values, "labels", options, func(yield func(string, string)) {
		for k, v := range c.Labels {
			yield(k, v)
		}
	}))
	problems = append(problems, pick(values, "env", options, func(yield func(string, string)) {
		for _, kv := range c.Env {
			if k, v, ok := strings.Cut(kv, "="); ok {
				yield(k, v)
			}
		}
	}))
	if text := options["tag"]; text != "" {
		tag, err := c.tag(text)
		if err != nil {
			problems = append(problems, fmt.Errorf("log option tag: %w", err))
		} else if tag != "" {
			values["tag"] = tag
		}
	}
	for k, v := range values {
		found = append(found, record.Tag{Key: k, Value: v})
	}
	slices.SortFunc(found, func(a, b record.Tag) int { return strings.Compare(a.Key, b.Key) })
	return found, slices.DeleteFunc(problems, func(err error) bool { return err == nil })
}

// pick puts into values those of all that the options NAME (keys, separated by commas) and NAME-regex choose.
func pick(values map[string]string, name string, options map[string]string, all func(func(k, v string))) error {
	var keys []string
	for key := range strings.SplitSeq(options[name], ",") {
		if key = strings.TrimSpace(key); key != "" {
			keys = append(keys, key)
		}
	}
	var re *regexp.Regexp
	var err error
	if expr := options[name+"-regex"]; expr != "" {
		if re, err = regexp.Compile(expr); err != nil {
			err = fmt.Errorf("log option %s-regex: %w", name, err)
		}
	}
	all(func(k, v string) {
		if slices.Contains(keys, k) || re != nil && re.MatchString(k) {
			values[k] = v
		}
	})
	return err
}

// tag fills in a template as the engine does.
func (c Container) tag(text string) (string, error) {
	t, err := template.New("tag").Funcs(functions).Parse(text)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, labelled{c}); err != nil {
		return "", err
	}
	return b.String(), nil
}

// maxPad is how many blanks pad adds at most: a template is somebody else's, and must not take all memory.
const maxPad = 1 << 10

// functions are those that the engine offers in templates (moby daemon/logger/templates).
var functions = template.FuncMap{
	"json": func(v any) (string, error) {
		b, err := json.Marshal(v)
		return string(b), err
	},
	"split": strings.Split,
	"join":  strings.Join,
	"title": func(s string) string {
		if s == "" {
			return s
		}
		return strings.ToUpper(s[:1]) + s[1:]
	},
	"lower": strings.ToLower,
	"upper": strings.ToUpper,
	"pad": func(s string, before, after int) string {
		if s == "" {
			return s
		}
		return strings.Repeat(" ", min(max(0, before), maxPad)) + s + strings.Repeat(" ", min(max(0, after), maxPad))
	},
	"truncate": func(s string, n int) string { return s[:max(0, min(n, len(s)))] },
}

// shortID is how many digits of a container's id people use.
const shortID = 12

// labelled offers a container to templates under the names that the engine's documentation gives.
type labelled struct{ c Container }

func (l labelled) ID() string          { return l.c.ID[:min(len(l.c.ID), shortID)] }
func (l labelled) FullID() string      { return l.c.ID }
func (l labelled) Name() string        { return strings.TrimPrefix(l.c.Name, "/") }
func (l labelled) ImageName() string   { return l.c.ImageName }
func (l labelled) ImageFullID() string { return l.c.ImageID }
func (l labelled) DaemonName() string  { return l.c.Daemon }

func (l labelled) ImageID() string {
	id := strings.TrimPrefix(l.c.ImageID, "sha256:")
	return id[:min(len(id), shortID)]
}

func (l labelled) Command() string {
	return strings.TrimSpace(l.c.Entry + " " + strings.Join(l.c.Args, " "))
}

func (l labelled) ContainerID() string                { return l.c.ID }
func (l labelled) ContainerName() string              { return l.c.Name }
func (l labelled) ContainerImageName() string         { return l.c.ImageName }
func (l labelled) ContainerImageID() string           { return l.c.ImageID }
func (l labelled) ContainerLabels() map[string]string { return l.c.Labels }

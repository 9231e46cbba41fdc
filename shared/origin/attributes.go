// SPDX-License-Identifier: Apache-2.0

package origin

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/remora-logs/remora/shared/record"
)

// MaxAttribute is the maximum size of a tag's value in bytes.
const MaxAttribute = 8 << 10

// maxAttributes is the maximum number of tags that Docker's log options can select.
const maxAttributes = 256

// Attributes returns the tags that Docker's own log options select: labels, labels-regex, env, env-regex and tag, as for
// the engine's built-in drivers (moby daemon/logger/loginfo.go, ExtraAttributes, and daemon/logger/loggerutils/log_tag.go).
// It returns at most 256 tags, sorted by key, with values of at most MaxAttribute bytes. For each invalid option it returns
// an error that names the option and never a value of the container; the other options are applied.
func (c Container) Attributes(options map[string]string) (found []record.Tag, problems []error) {
	values, problems := c.extra(options)
	for key, value := range values {
		if len(value) > MaxAttribute {
			problems = append(problems, fmt.Errorf("log option labels or env: the value of %.100q has %d bytes, more than %d; it is left out", key, len(value), MaxAttribute))
			continue
		}
		found = append(found, record.Tag{Key: key, Value: value})
	}
	if text := options["tag"]; text != "" {
		tag, err := c.tag(text, values)
		if err != nil {
			problems = append(problems, fmt.Errorf("log option tag: %w", err))
		} else if tag != "" {
			found = append(slices.DeleteFunc(found, func(t record.Tag) bool { return t.Key == "tag" }), record.Tag{Key: "tag", Value: tag})
		}
	}
	slices.SortFunc(found, func(a, b record.Tag) int { return strings.Compare(a.Key, b.Key) })
	if len(found) > maxAttributes {
		problems = append(problems, fmt.Errorf("log options labels and env choose %d tags; the first %d are used", len(found), maxAttributes))
		found = found[:maxAttributes]
	}
	return found, problems
}

// extra returns the labels and variables that labels, labels-regex, env and env-regex select. A variable overrides a label
// of the same name.
func (c Container) extra(options map[string]string) (values map[string]string, problems []error) {
	values = map[string]string{}
	err := pick(values, "labels", options, func(yield func(string, string)) {
		for k, v := range c.Labels {
			yield(k, v)
		}
	})
	if err != nil {
		problems = append(problems, err)
	}
	err = pick(values, "env", options, func(yield func(string, string)) {
		for _, kv := range c.Env {
			if k, v, ok := strings.Cut(kv, "="); ok {
				yield(k, v)
			}
		}
	})
	if err != nil {
		problems = append(problems, err)
	}
	return values, problems
}

// pick adds to values the pairs of all whose keys the options name (keys, separated by commas) and name-regex select.
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

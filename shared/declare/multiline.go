// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Multiline says how lines become one record. Either Preset or some of the expressions are set: Start matches the first line
// of a record, End its last, Continue a line that belongs to the one before it.
type Multiline struct {
	Preset               string
	Strip                string // one of MultilinePrefixes, or empty
	Start, End, Continue string
	MaxLines, MaxBytes   int
	Timeout              time.Duration
}

// MultilinePresets are the names of groupings that need no expression.
var MultilinePresets = []string{"auto", "dart", "dotnet", "go", "indent", "java", "js", "php", "python", "ruby", "rust"}

// MultilinePrefixes are the prefixes that can be stripped from each line.
var MultilinePrefixes = []string{"compose", "syslog", "time"}

// Default bounds of a record of several lines.
const (
	DefaultMaxLines = 500
	DefaultMaxBytes = 1 << 20
	DefaultTimeout  = time.Second
)

// ParseMultiline parses Declaration.Multiline, and fills in the default bounds. The error names the key. An empty map gives a
// Multiline that groups nothing.
func ParseMultiline(m map[string]string) (Multiline, error) {
	ml := Multiline{MaxLines: DefaultMaxLines, MaxBytes: DefaultMaxBytes, Timeout: DefaultTimeout}
	for key, value := range m {
		if err := ml.set(key, value); err != nil {
			return Multiline{}, fmt.Errorf("%s: %w", key, err)
		}
	}
	return ml, nil
}

func (ml *Multiline) set(key, value string) (err error) {
	switch key {
	case "start":
		ml.Start = value
		err = checkExpr(value)
	case "end":
		ml.End = value
		err = checkExpr(value)
	case "continue":
		ml.Continue = value
		err = checkExpr(value)
	case "preset":
		if ml.Preset = strings.ToLower(strings.TrimSpace(value)); !slices.Contains(MultilinePresets, ml.Preset) {
			err = fmt.Errorf("%s is none of %s%s", quote(value), strings.Join(MultilinePresets, ", "), didYouMean(ml.Preset, MultilinePresets))
		}
	case "strip":
		if ml.Strip = strings.ToLower(strings.TrimSpace(value)); !slices.Contains(MultilinePrefixes, ml.Strip) {
			err = fmt.Errorf("%s is none of %s%s", quote(value), strings.Join(MultilinePrefixes, ", "), didYouMean(ml.Strip, MultilinePrefixes))
		}
	case "max_lines":
		ml.MaxLines, err = parseCount(value)
	case "max_bytes":
		ml.MaxBytes, err = parseSize(value)
	case "timeout":
		ml.Timeout, err = parseDuration(value)
	}
	return err
}

// grouping reports whether a preset or an expression is set.
func (ml *Multiline) grouping() bool {
	return ml.Preset != "" || ml.Start != "" || ml.End != "" || ml.Continue != ""
}

// filebeat is multiline as log-pilot's custom_config passes it to Filebeat: a pattern, whether it is negated, and whether lines
// that (do not) match belong to the line before them ("after") or after them ("before"). flush matches a record's last line.
type filebeat struct {
	pattern, negate, match, flush string
}

// translate returns the equivalent multiline.start, end or continue.
func (f filebeat) translate() (key, expr string, err error) {
	if f.pattern == "" {
		return "", "", errors.New("multiline.negate and multiline.match need multiline.pattern")
	}
	negate := false
	if f.negate != "" {
		if negate, err = strconv.ParseBool(f.negate); err != nil {
			return "", "", fmt.Errorf("multiline.negate: %s is neither true nor false", quote(f.negate))
		}
	}
	switch {
	case f.match != "" && f.match != "after" && f.match != "before":
		return "", "", fmt.Errorf("multiline.match: %s is neither after nor before", quote(f.match))
	case negate && f.match == "before": // what does not match belongs to the next line that does
		return "multiline.end", f.pattern, nil
	case negate: // what does not match belongs to the line before that does
		return "multiline.start", f.pattern, nil
	case f.match == "before": // a line that matches continues in the next one, so a line that does not match is the last
		return "multiline.end", `\A(?![\s\S]*?(?:` + f.pattern + `))`, nil
	}
	return "multiline.continue", f.pattern, nil
}

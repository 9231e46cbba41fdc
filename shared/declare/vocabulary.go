// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"maps"
	"slices"
	"strings"
)

// A path is the part of a key below the log's name, with dots: format.time_key. The empty path is the source.

// formatOptions holds the formats and their options.
var formatOptions = map[string][]string{
	"none":         {},
	"json":         {"decode", "depth", "dots", "into", "keep_message", "numbers", "time_format", "time_key", "time_zone"},
	"csv":          {"delimiter", "dots", "into", "keep_message", "keys", "lazy_quotes", "time_format", "time_key", "time_zone"},
	"nginx":        {"keep_message", "log_format", "schema", "time_zone"},
	"apache2":      {"keep_message", "log_format", "schema", "time_zone"},
	"apache_error": {"keep_message", "schema", "time_zone"},
	"nginx_error":  {"keep_message", "schema", "time_zone"},
	"logfmt":       {"dots", "into", "keep_message", "time_format", "time_key", "time_zone"},
	"kv":           {"dots", "into", "keep_message", "pair", "quote", "separator", "time_format", "time_key", "time_zone"},
	"klog":         {"keep_message", "time_zone"},
	"syslog":       {"keep_message", "time_zone"},
	"regexp":       {"into", "keep_message", "pattern", "time_format", "time_key", "time_zone"},
}

// Schemas are the values of format.schema.
var Schemas = []string{"ecs", "fluentd", "otel", "remora"}

// formatAliases are other names of formats: a misspelling in log-pilot's guides, and its internal name of none.
var formatAliases = map[string]string{"regxp": "regexp", "nonex": "none"}

// formatNames are the formats, sorted.
var formatNames = slices.Sorted(maps.Keys(formatOptions))

// encodings maps the accepted values of encoding to the canonical ones.
var encodings = map[string]string{
	"utf-8": "utf-8", "utf8": "utf-8",
	"utf-16": "utf-16", "utf16": "utf-16",
	"utf-16le": "utf-16le", "utf16le": "utf-16le", "utf-16-le": "utf-16le",
	"utf-16be": "utf-16be", "utf16be": "utf-16be", "utf-16-be": "utf-16be",
	"gbk": "gbk", "gb2312": "gbk", "cp936": "gbk",
	"gb18030": "gb18030",
	"latin1":  "latin1", "latin-1": "latin1", "iso-8859-1": "latin1", "iso8859-1": "latin1",
}

// fixed are all paths except the source, the recent ones, and those with a part that users choose.
var fixed = []string{
	"tags", "target", "format", "output", "container",
	"format.decode", "format.delimiter", "format.depth", "format.dots", "format.into", "format.keep_message", "format.keys", "format.lazy_quotes", "format.log_format", "format.numbers", "format.pair", "format.pattern", "format.quote", "format.schema", "format.separator", "format.time_format", "format.time_key", "format.time_zone",
	"multiline.start", "multiline.end", "multiline.continue", "multiline.preset", "multiline.strip",
	"multiline.max_lines", "multiline.max_bytes", "multiline.timeout",
	"keep", "drop", "mask", "add", "remove", "rename", "sample", "rate_limit",
	"exclude", "encoding", "ignore_older", "read_from",
}

// recent are paths that were added later. A variable with such an ending is a key only if a log of the name before it is
// declared and the value is not a source. Otherwise it is part of the name, as before: aliyun_logs_my_streams=/x.log declares
// my_streams. New words go here; only paths of two parts that no name ends with, like format.schema, go into fixed.
var recent = []string{"pipeline", "streams", "tags_from"}

// foreign are keys of SLS' environment mode and of log-pilot's forks. They are read like recent ones, except in our own files,
// and translated to ours in foreign.go.
var foreign = []string{"configs", "detail", "logstore", "machinegroup", "product", "project", "shard", "ttl"}

// open are the paths below which users choose a word: an ID, so that there can be several, or a key, so that a value may
// contain commas.
var open = []string{"keep", "drop", "mask", "add", "rename", "tags"}

// numbered are those of open that, followed by a number, can't end the name of a log in a variable.
var numbered = []string{"keep", "drop", "mask"}

// byUnderscores maps a path as variables spell it (format_time_key) to the path.
var byUnderscores = func() map[string]string {
	m := make(map[string]string, len(fixed))
	for _, path := range fixed {
		m[strings.ReplaceAll(path, ".", "_")] = path
	}
	return m
}()

// underscored are the keys of byUnderscores.
var underscored = slices.Sorted(maps.Keys(byUnderscores))

// isKnown reports whether path is one of the dialect's.
func isKnown(path string) bool {
	if slices.Contains(recent, path) {
		return true
	}
	if p, ok := byUnderscores[strings.ReplaceAll(path, ".", "_")]; ok {
		return p == path
	}
	word, id, ok := strings.Cut(path, ".")
	return ok && id != "" && slices.Contains(open, word)
}

// splitPath splits rest into a name and the known path, spelled with underscores, that ends it. The longest path counts:
// a_format_time_key is format.time_key of a. ok is false if all of rest is a name.
func splitPath(rest string) (name, path string, ok bool) {
	const longest = 24 // more than the longest of fixed; rest may be of any length
	for i := max(1, len(rest)-1-longest); i < len(rest)-1; i++ {
		if rest[i] != '_' && rest[i] != '.' {
			continue
		}
		end := rest[i+1:]
		if path, ok := byUnderscores[strings.ReplaceAll(end, ".", "_")]; ok {
			return rest[:i], path, true
		}
		for _, word := range numbered {
			if id, ok := strings.CutPrefix(end, word); ok && len(id) > 1 && (id[0] == '_' || id[0] == '.') && isNumber(id[1:]) {
				return rest[:i], word + "." + id[1:], true
			}
		}
	}
	return rest, "", false
}

// splitOpen is splitPath for open paths: a_add_team is add.team of a if isLog(a).
func splitOpen(rest string, isLog func(name string) bool) (name, path string, ok bool) {
	for i := 1; i < min(len(rest)-1, maxName+1); i++ {
		if rest[i] != '_' && rest[i] != '.' {
			continue
		}
		for _, word := range open {
			if id, ok := strings.CutPrefix(rest[i+1:], word); ok && len(id) > 1 && (id[0] == '_' || id[0] == '.') && isLog(rest[:i]) {
				return rest[:i], word + "." + id[1:], true
			}
		}
	}
	return rest, "", false
}

// splitRecent is splitPath for recent and foreign words.
func splitRecent(rest string, isLog func(name string) bool) (name, path string, ok bool) {
	for _, words := range [][]string{recent, foreign} {
		for _, word := range words {
			if name, ok := strings.CutSuffix(rest, "_"+word); ok && isLog(name) {
				return name, word, true
			}
		}
	}
	return rest, "", false
}

func isNumber(s string) bool { return strings.Trim(s, "0123456789") == "" }

// maxName is the maximum length of a log's name in bytes: that of a file name or a topic.
const maxName = 249

// isName reports whether s is a valid name of a log.
func isName(s string) bool {
	for i := range len(s) {
		if !isNameByte(s[i]) {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

func isNameByte(c byte) bool {
	return c == '_' || c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// FileKeys returns the keys of a log in a YAML file, with dots, and the keys below which users choose a word.
func FileKeys() (keys, chosen []string) {
	keys = append(slices.Concat(fixed, recent), "path")
	slices.Sort(keys)
	return keys, slices.Clone(open)
}

// MatchKeys returns the keys of a rule's match. The value is true if the key holds a mapping of names to patterns.
func MatchKeys() map[string]bool { return maps.Clone(words) }

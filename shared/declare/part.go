// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"slices"
	"strings"
)

// Part returns the subject of a problem's key: the first word of its path, such as format, tags or keep; "path" for a log's
// source; "collect" for a rule; "" if the key is not of a declaration, or its word is unknown.
func Part(key string) string {
	if rest, ok := strings.CutPrefix(key, "collect."); ok {
		if at := strings.Index(rest, ".logs."); at >= 0 {
			return partOf(rest[at+len(".logs."):])
		}
		return "collect"
	}
	for _, above := range []string{"logs.", "logs_"} {
		if at := strings.Index(key, above); at == 0 || at > 0 && strings.ContainsRune("._", rune(key[at-1])) {
			return partOf(key[at+len(above):])
		}
	}
	return ""
}

// partOf is Part for the text after logs: a name, and a path after it.
func partOf(rest string) string {
	isLog := func(string) bool { return true }
	for _, split := range []func(string) (string, string, bool){
		splitPath,
		func(s string) (string, string, bool) { return splitRecent(strings.ReplaceAll(s, ".", "_"), isLog) },
		func(s string) (string, string, bool) { return splitOpen(s, isLog) },
	} {
		if _, path, ok := split(rest); ok {
			word, _, _ := strings.Cut(path, ".")
			return word
		}
	}
	if name, path, ok := strings.Cut(rest, "."); ok && path != "" && !slices.Contains([]string{"path", "source"}, path) && isName(name) {
		return ""
	}
	return "path"
}

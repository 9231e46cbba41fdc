// SPDX-License-Identifier: Apache-2.0

// Package declare turns labels, environment variables, annotations and YAML into declarations of what to collect, in the
// words of log-pilot, and says what is wrong with the rest.
//
// A log is declared by the label PREFIX.logs.NAME=PATH|stdout or the environment variable PREFIX_logs_NAME, and described
// by keys below its name: PREFIX.logs.NAME.format or PREFIX_logs_NAME_format. vocabulary.go lists them all. The values of
// keys that are not of this dialect are neither kept nor shown: an environment holds secrets.
package declare

import "slices"

// Stdout as a Declaration's Source means the container's own output instead of a file.
const Stdout = "stdout"

// Declaration is one log that a container wants collected. It is plain data: it is written to the journal as JSON. All
// values were checked, and are in the form that the functions of this package which read them expect.
type Declaration struct {
	// Name is [0-9a-zA-Z_-]+, unique among a container's declarations.
	Name string `json:"name"`
	// Source is Stdout, or an absolute pattern of paths without .. in it; where several are declared, it is as written.
	// HasStdout and Paths read it.
	Source string `json:"source"`
	// Sources are Stdout and patterns, each once, where several are declared; else nil.
	Sources []string `json:"sources,omitempty"`
	// Streams is "stdout" or "stderr" where only that one of a container's output is wanted; empty for both.
	Streams string `json:"streams,omitempty"`
	// Format is one of none, json, csv, nginx, apache2, apache_error, regexp; FormatOptions are what that format takes.
	Format        string            `json:"format"`
	FormatOptions map[string]string `json:"format_options"`
	Tags          map[string]string `json:"tags"`
	// Target is the topic, index or file it goes to; the name where none was declared.
	Target string `json:"target"`
	// Multiline holds what was declared under multiline.: start, end, continue, preset, max_lines, max_bytes, timeout.
	// ParseMultiline reads it.
	Multiline map[string]string `json:"multiline,omitempty"`
	// Filters holds keep, drop, mask, add, remove, rename, sample, rate_limit, and keep.ID, drop.ID, mask.ID, add.FIELD,
	// rename.FIELD. ParseFilters reads it.
	Filters map[string]string `json:"filters,omitempty"`
	// Files holds what concerns files alone: exclude (patterns, which SplitList takes apart), encoding (utf-8, utf-16,
	// utf-16le, utf-16be, gbk, gb18030, latin1), ignore_older (as time.ParseDuration reads it), read_from (beginning, end).
	Files map[string]string `json:"files,omitempty"`
	// Outputs names the outputs it goes to; empty means all that are configured.
	Outputs []string `json:"outputs,omitempty"`
	// Container names the container of the Pod that writes the file; empty where not declared.
	Container string `json:"container,omitempty"`
}

// HasStdout reports whether the container's own output is wanted.
func (d *Declaration) HasStdout() bool { return slices.Contains(d.sources(), Stdout) }

// Paths are the patterns of files that are wanted. A file that several of them match is one log.
func (d *Declaration) Paths() []string {
	return slices.DeleteFunc(slices.Clone(d.sources()), func(s string) bool { return s == Stdout })
}

func (d *Declaration) sources() []string {
	if len(d.Sources) > 0 {
		return d.Sources
	}
	return []string{d.Source}
}

// Set is what one container (or Pod) declares.
type Set struct {
	// Declarations are in the order of their names. Those that something is wrong with are not among them.
	Declarations []Declaration `json:"declarations"`
	// Errors are why declarations were refused, Warnings what was ignored without harm; both in the order of their keys.
	Errors   []Problem `json:"errors"`
	Warnings []Problem `json:"warnings"`
	// Metadata are tags for all of the container's records, from its labels com.aliyun.access.*, dots as underscores.
	Metadata map[string]string `json:"metadata,omitempty"`
}

// Problem is something wrong with the value of a key.
type Problem struct {
	// Key is as it was written, or as it would have been where it is missing.
	Key     string `json:"key"`
	Message string `json:"message"`
}

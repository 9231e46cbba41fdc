// SPDX-License-Identifier: Apache-2.0

// Package declare reads declarations of logs in log-pilot's dialect from labels, environment variables, annotations and
// YAML, and reports errors in them.
//
// A log is declared by the label PREFIX.logs.NAME=PATH|stdout or the environment variable PREFIX_logs_NAME, and described by
// keys below its name: PREFIX.logs.NAME.format or PREFIX_logs_NAME_format. vocabulary.go lists them. Values of keys outside
// the dialect are neither kept nor shown, because an environment holds secrets.
package declare

import "slices"

// Stdout as a Declaration's Source means the container's own output instead of a file.
const Stdout = "stdout"

// Declaration is one log to collect. It is plain data, stored as JSON in a stream's manifest. All values are valid and in
// the form that the parsing functions of this package expect.
type Declaration struct {
	// Name is [0-9a-zA-Z_-]+, unique among a container's declarations.
	Name string `json:"name"`
	// Source is Stdout or an absolute path pattern without ..; if several are declared, the list as written. Use HasStdout
	// and Paths to read it.
	Source string `json:"source"`
	// Sources are the sources without duplicates if several are declared; else nil.
	Sources []string `json:"sources,omitempty"`
	// Streams is "stdout" or "stderr" if only one of them is wanted; empty for both.
	Streams string `json:"streams,omitempty"`
	// Format is a key of formatOptions, and FormatOptions are that format's options.
	Format        string            `json:"format"`
	FormatOptions map[string]string `json:"format_options"`
	Tags          map[string]string `json:"tags"`
	// Target is the topic, index or file that records go to; by default the name.
	Target string `json:"target"`
	// Multiline holds the keys below multiline.: start, end, continue, preset, strip, max_lines, max_bytes, timeout.
	// ParseMultiline parses it.
	Multiline map[string]string `json:"multiline,omitempty"`
	// Filters holds keep, drop, mask, add, remove, rename, sample, rate_limit, and keep.ID, drop.ID, mask.ID, add.FIELD,
	// rename.FIELD. ParseFilters parses it.
	Filters map[string]string `json:"filters,omitempty"`
	// Files holds the keys for files: exclude (patterns, split by SplitList), encoding (utf-8, utf-16,
	// utf-16le, utf-16be, gbk, gb18030, latin1), ignore_older (as time.ParseDuration reads it), read_from (beginning, end).
	Files map[string]string `json:"files,omitempty"`
	// Store holds the settings of the log's store for the output aliyun_sls: project, shard and ttl.
	Store map[string]string `json:"store,omitempty"`
	// Outputs are the names of the outputs that records go to; empty means all.
	Outputs []string `json:"outputs,omitempty"`
	// Container is the container of the Pod that writes the file; empty if not declared.
	Container string `json:"container,omitempty"`
}

// HasStdout reports whether the container's own output is to be collected.
func (d *Declaration) HasStdout() bool { return slices.Contains(d.sources(), Stdout) }

// Paths returns the patterns of files. A file that several of them match is collected once.
func (d *Declaration) Paths() []string {
	return slices.DeleteFunc(slices.Clone(d.sources()), func(s string) bool { return s == Stdout })
}

func (d *Declaration) sources() []string {
	if len(d.Sources) > 0 {
		return d.Sources
	}
	return []string{d.Source}
}

// Set holds the declarations of one container or Pod.
type Set struct {
	// Declarations are sorted by name. Refused ones are left out.
	Declarations []Declaration `json:"declarations"`
	// Errors are the reasons why declarations were refused. Warnings are about what was ignored. Both are sorted by key.
	Errors   []Problem `json:"errors"`
	Warnings []Problem `json:"warnings"`
	// Metadata are tags of all records of the container, from its labels com.aliyun.access.*, with dots replaced by _.
	Metadata map[string]string `json:"metadata,omitempty"`
}

// Problem is an error in, or a warning about, one key.
type Problem struct {
	// Key is the key as written, or as it would be written if it is missing.
	Key     string `json:"key"`
	Message string `json:"message"`
}

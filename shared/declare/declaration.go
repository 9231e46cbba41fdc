// Package declare turns labels, environment variables, annotations and YAML into declarations of what to collect, in the
// words of log-pilot, and says what is wrong with the rest.
package declare

// Stdout as a Declaration's Source means the container's own output instead of a file.
const Stdout = "stdout"

// Declaration is one log that a container wants collected. It is plain data: it is written to the journal as JSON.
type Declaration struct {
	// Name is [0-9a-zA-Z_-]+, unique among a container's declarations.
	Name string `json:"name"`
	// Source is Stdout, or an absolute pattern of paths.
	Source string `json:"source"`
	// Format is one of none, json, csv, nginx, apache2, apache_error, regexp; FormatOptions are what that format takes.
	Format        string            `json:"format"`
	FormatOptions map[string]string `json:"format_options"`
	Tags          map[string]string `json:"tags"`
	// Target is the topic, index or file it goes to; the name where none was declared.
	Target string `json:"target"`
	// Multiline holds what was declared under multiline.: start, end, continue, preset, max_lines, max_bytes, timeout.
	Multiline map[string]string `json:"multiline,omitempty"`
	// Filters holds keep, drop, mask, add, remove, rename, sample, rate_limit.
	Filters map[string]string `json:"filters,omitempty"`
	// Files holds what concerns files alone: exclude, encoding, ignore_older, read_from.
	Files map[string]string `json:"files,omitempty"`
	// Outputs names the outputs it goes to; empty means all that are configured.
	Outputs []string `json:"outputs,omitempty"`
	// Container names the container of the Pod that writes the file; empty where not declared.
	Container string `json:"container,omitempty"`
}

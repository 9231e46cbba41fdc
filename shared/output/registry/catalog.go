// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"errors"
	"fmt"
	"maps"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/pipeline"
)

// Catalog holds every output that LOGGING_OUTPUT may name in one process: each kind once, set by the process's variables, and
// the outputs that the file REMORA_CONFIG names. The zero value knows the kinds without any variable set.
type Catalog struct {
	environ map[string]string
	named   []Named // in the order of the file
	// unread is the error of reading the file. It matters only when a name is asked for that is not a kind.
	unread error
	// others are the sections of the file besides outputs.
	others []Section
}

// Section is a key at the top of the file, and its line.
type Section struct {
	Key  string
	Line int
}

// Others returns the sections of the file that don't concern outputs.
func (c *Catalog) Others() []Section { return c.others }

// Names returns the kinds, and then the named outputs in the order of the file.
func (c *Catalog) Names() []string {
	names := Names()
	for _, n := range c.named {
		names = append(names, n.Name)
	}
	return names
}

// Unused returns the named outputs that are not among names.
func (c *Catalog) Unused(names []string) (unused []string) {
	used := map[string]bool{}
	for _, name := range names {
		used[name] = true
	}
	for _, n := range c.named {
		if !used[n.Name] {
			unused = append(unused, n.Name)
		}
	}
	return unused
}

// IsNamed reports whether the file names an output name.
func (c *Catalog) IsNamed(name string) bool { return c.find(name) != nil }

// SameNamed reports whether the file's output name has the same kind and settings in other, another reading of the file.
func (c *Catalog) SameNamed(name string, other *Catalog) bool {
	a, b := c.find(name), other.find(name)
	if a == nil || b == nil {
		return a == b
	}
	return a.Kind == b.Kind && maps.Equal(a.settings, b.settings)
}

// Kind returns the kind of the output of that name; a kind's name is its own kind. It is empty for an unknown name.
func (c *Catalog) Kind(name string) string {
	if n := c.find(name); n != nil {
		return n.Kind
	}
	if find(name) != nil {
		return name
	}
	return ""
}

func (c *Catalog) find(name string) *Named {
	for i := range c.named {
		if c.named[i].Name == name {
			return &c.named[i]
		}
	}
	return nil
}

// Open opens the output of that name, as the function Open does. A named output uses only the settings of the file: a variable
// of the process might be another cluster's password.
func (c *Catalog) Open(name string) (output.Output, error) {
	n := c.find(name)
	if n == nil {
		o, err := Open(name, c.environ)
		if err != nil && find(name) == nil {
			err = errors.Join(err, c.unread)
		}
		return o, err
	}
	o, err := find(n.Kind).open(n.settings, true)
	if err != nil {
		return nil, fmt.Errorf("output %s (%s): %w", n.Name, n.place, err)
	}
	return o, nil
}

// Unread returns the error of reading the file; nil if it was read, or if there is none.
func (c *Catalog) Unread() error { return c.unread }

// OpenAll opens the outputs of these names, each with that number of workers. If one can't be opened, it closes the others.
func (c *Catalog) OpenAll(names []string, workers int) (map[string]pipeline.Sink, error) {
	sinks := map[string]pipeline.Sink{}
	for _, name := range names {
		o, err := c.Open(name)
		if err != nil {
			return nil, errors.Join(err, closeAll(sinks))
		}
		sinks[name] = pipeline.Sink{Output: o, Workers: workers}
	}
	return sinks, nil
}

func closeAll(sinks map[string]pipeline.Sink) error {
	var errs []error
	for _, l := range sinks {
		errs = append(errs, l.Output.Close())
	}
	return errors.Join(errs...)
}

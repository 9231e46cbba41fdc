// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"time"
)

// Sources are the sources of a sidecar's declarations. An empty path means no file.
type Sources struct {
	Env             []string
	ConfigFile      string // REMORA_CONFIG: YAML for ReadFile
	AnnotationsFile string // REMORA_ANNOTATIONS: the Pod's, for ReadDownward
}

const (
	// pollInterval is how often the files are read. Comparing contents finds every change: writes in place, renames, and
	// the symlinks that Kubernetes swaps.
	pollInterval = time.Second
	// maxFile is the maximum size of a file: Kubernetes allows ConfigMaps and annotations of at most 1 MiB.
	maxFile = 1 << 20
)

// Watch calls onChange with the declarations of sources, once at the start and then after each change, until ctx is done.
// Calls do not overlap. A change takes effect once two reads of the file, a second apart, are equal, so that a half-written
// file never does.
//
// If a file becomes invalid or is removed, its last valid declarations stay in effect as a whole, and the Set's Errors give
// the reason. If a file is invalid at the start, only its invalid declarations are missing.
func (d *Dialect) Watch(ctx context.Context, sources Sources, onChange func(Set)) {
	w := watcher{dialect: d, env: sources.Env}
	if sources.ConfigFile != "" {
		w.files = append(w.files, &watched{path: sources.ConfigFile, apply: func(in *Input, data []byte) error {
			in.File = ReadFile(sources.ConfigFile, data)
			return nil
		}})
	}
	if sources.AnnotationsFile != "" {
		w.files = append(w.files, &watched{path: sources.AnnotationsFile, apply: func(in *Input, data []byte) (err error) {
			in.Annotations, err = ReadDownward(data)
			return err
		}})
	}
	set := w.first()
	onChange(set)
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if !w.poll() {
			continue
		}
		if next := w.set(); !reflect.DeepEqual(next, set) {
			set = next
			onChange(set)
		}
	}
}

// watcher is the state of one Watch.
type watcher struct {
	dialect *Dialect
	env     []string
	files   []*watched
	good    Input // in effect
}

// watched is one file and the result of its last read.
type watched struct {
	path  string
	apply func(in *Input, data []byte) error
	seen  content
	// problems are the reasons why the last content is not in effect.
	problems []Problem
	settled  bool // seen was handled
}

// content is the result of reading a file.
type content struct {
	data []byte
	err  string
}

func (c content) equal(o content) bool { return c.err == o.err && bytes.Equal(c.data, o.data) }

// first applies the files' contents as far as they are valid.
func (w *watcher) first() Set {
	w.good = Input{Env: w.env}
	for _, f := range w.files {
		f.seen, f.settled = read(f.path), true
		if f.seen.err != "" {
			f.problems = []Problem{{f.path, f.seen.err}}
		} else if err := f.apply(&w.good, f.seen.data); err != nil {
			f.problems = []Problem{{f.path, err.Error()}}
		}
	}
	return w.set()
}

// poll reads the files, applies changes that have settled, and reports whether there were any.
func (w *watcher) poll() (settled bool) {
	for _, f := range w.files {
		if now := read(f.path); !now.equal(f.seen) {
			f.seen, f.settled = now, false
		} else if !f.settled {
			f.settled, settled = true, true
			w.apply(f)
		}
	}
	return settled
}

// apply puts the content of f into effect if it has no errors that the previous one did not have.
func (w *watcher) apply(f *watched) {
	f.problems = nil
	candidate := w.good
	if f.seen.err != "" {
		f.problems = append(f.problems, Problem{f.path, f.seen.err})
	} else if err := f.apply(&candidate, f.seen.data); err != nil {
		f.problems = append(f.problems, Problem{f.path, err.Error()})
	} else {
		before := w.dialect.Read(w.good).Errors
		for _, p := range w.dialect.Read(candidate).Errors {
			if !slices.Contains(before, p) {
				f.problems = append(f.problems, p)
			}
		}
	}
	if len(f.problems) > 0 {
		f.problems = append(f.problems, Problem{f.path, "is invalid; its previous declarations stay in effect"})
		return
	}
	w.good = candidate
}

// set returns the declarations in effect and the files' problems.
func (w *watcher) set() Set {
	set := w.dialect.Read(w.good)
	for _, f := range w.files {
		set.Errors = append(set.Errors, f.problems...)
	}
	set.Errors = inOrder(set.Errors)
	return set
}

// read reads a file of at most maxFile bytes. Equal failures have equal errors.
func read(path string) content {
	// Check before opening: opening a FIFO blocks until it has a writer.
	if info, err := os.Stat(path); err != nil {
		return content{err: err.Error()}
	} else if !info.Mode().IsRegular() {
		return content{err: "is not a regular file"}
	}
	f, err := os.Open(path)
	if err != nil {
		return content{err: err.Error()}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return content{err: err.Error()}
	case len(data) > maxFile:
		return content{err: fmt.Sprintf("is larger than %d bytes", maxFile)}
	}
	return content{data: data}
}

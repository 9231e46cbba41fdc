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

// Sources are where a sidecar's declarations come from. A path that is empty names no file.
type Sources struct {
	Env             []string
	ConfigFile      string // REMORA_CONFIG: YAML, as ReadFile takes it
	AnnotationsFile string // REMORA_ANNOTATIONS: the Pod's, as ReadDownward takes them
}

const (
	// pollInterval is how often the files are read. Comparing content finds every change, whether a file was written in
	// place, renamed over, or is reached by a symlink that Kubernetes swapped.
	pollInterval = time.Second
	// maxFile bounds what is read of a file: Kubernetes allows ConfigMaps and annotations of 1 MiB at most.
	maxFile = 1 << 20
)

// Watch calls onChange with what sources declare: once before anything else, then each time it has changed, until ctx is
// done. Calls do not overlap. A change takes effect once two looks at the file, a second apart, found the same, so that
// no half-written file does.
//
// A file that became invalid, or that is gone, leaves in effect what it declared last, all of it: the Set then has the same
// declarations as the one before and says in Errors what is wrong. A file that is invalid from the beginning loses
// only the declarations that are.
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
		if !w.look() {
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
	good    Input // what is in effect
}

// watched is one file and what was found at the last look.
type watched struct {
	path  string
	apply func(in *Input, data []byte) error
	seen  content
	// problems are why what was seen is not in effect.
	problems []Problem
	settled  bool // what was seen has been dealt with
}

// content is what reading a file gave.
type content struct {
	data []byte
	err  string
}

func (c content) equal(o content) bool { return c.err == o.err && bytes.Equal(c.data, o.data) }

// first takes over what the files hold, as far as it is right.
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

// look looks at the files, takes over what has changed and settled, and reports whether anything has.
func (w *watcher) look() (settled bool) {
	for _, f := range w.files {
		if now := read(f.path); !now.equal(f.seen) {
			f.seen, f.settled = now, false
		} else if !f.settled {
			f.settled, settled = true, true
			w.settle(f)
		}
	}
	return settled
}

// settle takes over what f holds now, if nothing is wrong with it that was not before.
func (w *watcher) settle(f *watched) {
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
		f.problems = append(f.problems, Problem{f.path, "is invalid; what it declared before stays in effect"})
		return
	}
	w.good = candidate
}

// set is what is in effect, and what is wrong with the files.
func (w *watcher) set() Set {
	set := w.dialect.Read(w.good)
	for _, f := range w.files {
		set.Errors = append(set.Errors, f.problems...)
	}
	set.Errors = inOrder(set.Errors)
	return set
}

// read reads a file, in bounds. Its errors are told without what changes from look to look.
func read(path string) content {
	// Before it is opened: opening a FIFO waits for somebody to write.
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

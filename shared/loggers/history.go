// SPDX-License-Identifier: Apache-2.0

package loggers

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/history"
	"github.com/remora-logs/remora/shared/manifest"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/spool"
)

// History is what one container wrote, as far as the spool has it. It is read without the agent.
type History struct{ logs []*spool.Browser }

// stored is a log of the spool, and whose it is.
type stored struct {
	key string
	of  *manifest.Container
}

// FindHistory opens the logs of one container in the spool at dir, those of its earlier starts too. The container is given
// by its name, its ID or NAMESPACE/ID, or else by the beginning of its ID.
func FindHistory(dir, container string) (*History, error) {
	all, err := storedIn(dir)
	if err != nil {
		return nil, err
	}
	wanted := slices.DeleteFunc(slices.Clone(all), func(s stored) bool { return !s.named(container) })
	if len(wanted) == 0 {
		wanted = slices.DeleteFunc(all, func(s stored) bool { return container == "" || !strings.HasPrefix(s.of.ID, container) })
	}
	var names []string
	for _, s := range wanted {
		if name := s.of.Namespace + "/" + s.of.ID; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	switch {
	case len(names) == 0:
		return nil, fmt.Errorf("the spool %s holds nothing of a container %s", dir, container)
	case len(names) > 1:
		return nil, fmt.Errorf("%s may be each of %s", container, strings.Join(names, ", "))
	}
	h := &History{}
	for _, s := range wanted {
		b, err := spool.Browse(dir, s.key)
		switch {
		case errors.Is(err, fs.ErrNotExist): // it was given up meanwhile
		case err != nil:
			return nil, err
		default:
			h.logs = append(h.logs, b)
		}
	}
	return h, nil
}

// named reports whether that is the container's name or ID.
func (s *stored) named(container string) bool {
	return container != "" && (s.of.ID == container || s.of.Namespace+"/"+s.of.ID == container || s.of.Labels["nerdctl/name"] == container)
}

// storedIn finds the logs of a spool, by the time of their start.
func storedIn(dir string) ([]stored, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []stored
	for _, e := range entries {
		text, err := spool.Manifest(filepath.Join(dir, e.Name()))
		if err != nil {
			continue // no log, or one whose owner nobody knows
		}
		if c, err := manifest.DecodeContainer(text); err == nil {
			all = append(all, stored{e.Name(), c})
		}
	}
	slices.SortFunc(all, func(a, b stored) int { return cmp.Or(a.of.Started.Compare(b.of.Started), cmp.Compare(a.key, b.key)) })
	return all, nil
}

// Output is where History.Show writes lines.
type Output struct {
	Stdout, Stderr io.Writer
	// Timestamps has each line begin with its time.
	Timestamps bool
	// MaxRecord is the number of bytes after which a line is cut; the rest of it is written behind it.
	MaxRecord int
}

// partialTimeout is how long a line may pause before its beginning is shown.
const partialTimeout = 5 * time.Second

// Show writes the lines that q asks for. It returns nil when ctx ends.
func (h *History) Show(ctx context.Context, q history.Query, to Output) error {
	var line bytes.Buffer
	var torn [record.Stderr + 1]bool // the line's beginning was written
	r := history.Reader[*spool.Browser]{
		Cutter: func(b *spool.Browser) cut.Cutter {
			return cut.NewChunks(&record.Source{}, browsed{history.ReaderAt{Log: b}, b}, to.MaxRecord, partialTimeout.Nanoseconds())
		},
		Write: func(lines []record.Record) error {
			for i := range lines {
				l := &lines[i]
				line.Reset()
				if to.Timestamps && !torn[l.Std] {
					line.WriteString(time.Unix(0, l.Time).UTC().Format("2006-01-02T15:04:05.000000000Z "))
				}
				line.Write(l.Line)
				if torn[l.Std] = l.Truncated; !l.Truncated {
					line.WriteByte('\n')
				}
				w := to.Stdout
				if l.Std == record.Stderr {
					w = to.Stderr
				}
				if _, err := w.Write(line.Bytes()); err != nil {
					return err
				}
			}
			return nil
		},
	}
	return r.Read(ctx, h.logs, q)
}

// browsed is a log for the cutter of raw bytes.
type browsed struct {
	history.ReaderAt
	*spool.Browser
}

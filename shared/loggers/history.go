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

// History holds the logs of one container in the spool. Reading them does not need the agent.
type History struct{ logs []*spool.Browser }

// stored is a log of the spool with its container.
type stored struct {
	key string
	of  *manifest.Container
}

// FindHistory opens the logs of one container in the spool at dir, including those of its earlier starts. container is a name,
// an ID or NAMESPACE/ID, or else the beginning of an ID.
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
		case errors.Is(err, fs.ErrNotExist): // discarded meanwhile
		case err != nil:
			return nil, err
		default:
			h.logs = append(h.logs, b)
		}
	}
	return h, nil
}

// named reports whether container is the name, the ID or the NAMESPACE/ID of the log's container.
func (s *stored) named(container string) bool {
	return container != "" && (s.of.ID == container || s.of.Namespace+"/"+s.of.ID == container || s.of.Labels["nerdctl/name"] == container)
}

// storedIn returns the logs of a spool, ordered by the time of their start.
func storedIn(dir string) ([]stored, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []stored
	for _, e := range entries {
		text, err := spool.Manifest(filepath.Join(dir, e.Name()))
		if err != nil {
			continue // not a log, or its container is not known
		}
		if c, err := manifest.DecodeContainer(text); err == nil {
			all = append(all, stored{e.Name(), c})
		}
	}
	slices.SortFunc(all, func(a, b stored) int { return cmp.Or(a.of.Started.Compare(b.of.Started), cmp.Compare(a.key, b.key)) })
	return all, nil
}

// Output says where and how History.Show writes lines.
type Output struct {
	Stdout, Stderr io.Writer
	// Timestamps makes each line begin with its time.
	Timestamps bool
	// MaxRecord is the size in bytes of the pieces in which a longer line is read. Show joins them again.
	MaxRecord int
}

// partialTimeout is how long a line may stay incomplete before its beginning is shown.
const partialTimeout = 5 * time.Second

// Show writes the lines that q selects. It returns nil when ctx ends.
func (h *History) Show(ctx context.Context, q history.Query, to Output) error {
	var line bytes.Buffer
	var torn [record.Stderr + 1]bool // by stream: the last line written is incomplete
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

// browsed adapts a log for the cutter of raw bytes.
type browsed struct {
	history.ReaderAt
	*spool.Browser
}

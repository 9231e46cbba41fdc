// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
)

// maxTroubles bounds what is remembered to be wrong at a time.
const maxTroubles = 1000

// troubles says once what is wrong with a path, and once that it is no more.
type troubles struct {
	log *slog.Logger
	now map[string]string
}

func (t *troubles) note(path string, err error) {
	if t.now[path] == err.Error() || len(t.now) >= maxTroubles {
		return
	}
	if t.now == nil {
		t.now = map[string]string{}
	}
	t.now[path] = err.Error()
	var refused *errRefused
	if errors.As(err, &refused) {
		t.log.Warn("path is not read", "path", path, "why", err)
		return
	}
	t.log.Warn("trouble with a path; trying again", "path", path, "error", err)
}

func (t *troubles) clear(path string) {
	if _, ok := t.now[path]; ok {
		delete(t.now, path)
		t.log.Info("path is all right again", "path", path)
	}
}

// Trouble is what is wrong with a path at present.
type Trouble struct{ Path, Error string }

func (t *troubles) list() []Trouble {
	var all []Trouble
	for _, p := range slices.Sorted(maps.Keys(t.now)) {
		all = append(all, Trouble{p, t.now[p]})
	}
	return all
}

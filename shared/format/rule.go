// SPDX-License-Identifier: Apache-2.0

package format

import (
	"fmt"
	"log/slog"

	"github.com/remora-logs/remora/shared/declare"
)

// newRule returns the rule of ml; nil if nothing is to be grouped.
func newRule(ml *declare.Multiline, log *slog.Logger) (rule, error) {
	if ml.Preset == "auto" {
		return &auto{}, nil
	}
	if ml.Preset != "" {
		p, ok := presets[ml.Preset]
		if !ok {
			return nil, fmt.Errorf("multiline.preset: %q is unknown", ml.Preset)
		}
		return p, nil
	}
	if ml.Start == "" && ml.End == "" && ml.Continue == "" {
		return nil, nil
	}
	r := &expressions{}
	for _, e := range []struct {
		key, expr string
		to        **guarded
	}{
		{"multiline.start", ml.Start, &r.start}, {"multiline.end", ml.End, &r.end}, {"multiline.continue", ml.Continue, &r.more},
	} {
		if e.expr == "" {
			continue
		}
		var err error
		if *e.to, err = newGuarded(e.key, e.expr, log); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// expressions is the rule that a declaration writes itself; the fields that it does not set are nil.
//
//	start     a line that matches begins a group. If others are set as well, a line that neither begins a group nor
//	          follows one stands alone
//	end       a line that matches is the last of its group
//	continue  a line that does not match does not belong to the group before it
//
// A match that takes too long counts as no match.
type expressions struct{ start, end, more *guarded }

const open state = 1

func (e *expressions) begin(line []byte) state {
	if matches(e.end, line) || e.start != nil && (e.end != nil || e.more != nil) && !matches(e.start, line) {
		return complete
	}
	return open
}

func (e *expressions) next(_ state, line []byte) (state, bool) {
	if matches(e.start, line) || e.more != nil && !matches(e.more, line) {
		return complete, false
	}
	if matches(e.end, line) {
		return complete, true
	}
	return open, true
}

func matches(g *guarded, line []byte) bool {
	if g == nil {
		return false
	}
	ok, err := g.match(line)
	return ok && err == nil
}

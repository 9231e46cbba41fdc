// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"context"
	"slices"
	"time"
)

// WatchRules calls onChange with the rules of the file at path, once at the start and then after each change, until ctx is
// done. Calls do not overlap. As in Watch, a change takes effect once two reads are equal.
//
// A rule that becomes invalid stays in effect as it was. So do all rules if the file can't be read. The problems say so.
func (d *Dialect) WatchRules(ctx context.Context, path string, onChange func(rules []*Rule, problems []Problem)) {
	w := ruleWatch{dialect: d, path: path, seen: read(path)}
	onChange(w.read())
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for settled := true; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if now := read(path); !now.equal(w.seen) {
			w.seen, settled = now, false
		} else if !settled {
			settled = true
			onChange(w.read())
		}
	}
}

// ruleWatch is the state of one WatchRules.
type ruleWatch struct {
	dialect *Dialect
	path    string
	seen    content
	rules   []*Rule // in effect
}

// read applies the file's last content.
func (w *ruleWatch) read() ([]*Rule, []Problem) {
	if w.seen.err != "" {
		return w.rules, w.stays([]Problem{{w.path, w.seen.err}})
	}
	f := ReadFile(w.path, w.seen.data)
	rules, problems := w.dialect.Rules(f)
	if len(f.errors) > 0 { // it is not known what else it was to hold
		return w.rules, w.stays(problems)
	}
	for _, old := range w.rules {
		if named := func(r *Rule) bool { return r.Name == old.Name }; !slices.ContainsFunc(rules, named) && slices.ContainsFunc(f.rules, named) {
			rules = append(rules, old)
			problems = append(problems, Problem{"collect." + old.Name, "is invalid; the rule stays in effect as it was before"})
		}
	}
	w.rules = rules
	return rules, problems
}

func (w *ruleWatch) stays(problems []Problem) []Problem {
	if len(w.rules) == 0 {
		return problems
	}
	return append(problems, Problem{w.path, "is invalid; the rules that it held before stay in effect"})
}

// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
)

// groups joins lines that belong together into one record, separately for stdout and stderr. The record has the offset, the
// time and the standard stream of its first line.
//
// A group of a single line refers to it in the batch that it came in. Once it has more lines, or the call of Apply ends, the
// group holds a copy.
type groups struct {
	rule               rule
	strip              *stripper // nil for none
	maxLines, maxBytes int
	timeout            int64 // in ns, since the last line
	byStd              [record.Stderr + 1]group
	counted            int64 // this one's share of holding
}

// holding is the memory of the open groups of all chains, in bytes.
var holding atomic.Int64

// heldAtMost bounds it: beyond, groups are ended early, as at max_bytes, because hundreds of containers halfway through a
// large group must not exhaust the process's memory. Large groups end first.
const (
	heldAtMost  = 8 << 20
	largeGroup  = heldAtMost / 64
	heldByLarge = heldAtMost / 2
)

// count updates holding by the memory that the groups use.
func (g *groups) count() {
	var all int64
	for i := range g.byStd {
		if o := &g.byStd[i]; o.lines > 0 {
			all += int64(cap(o.text))
		}
	}
	if all != g.counted {
		holding.Add(all - g.counted)
		g.counted = all
	}
}

// rule decides which successive lines belong together.
type rule interface {
	// begin returns the state of a group whose first line is line; complete if nothing can follow.
	begin(line []byte) state
	// next returns the state of a group in state s after line is added. ok is false if line does not belong to it.
	next(s state, line []byte) (next state, ok bool)
}

// state is what a rule remembers about a group.
type state uint8

// complete is the state of a group that has all its lines.
const complete state = 0

// group is a group of lines; it is open if it has any.
type group struct {
	first record.Record // its Line is valid while copied is false
	lines int
	text  []byte // all lines, if copied
	// copied means that the lines are in text.
	copied  bool
	touched int64
	state   state
	// writer is the writer of the first line, if prefixes that name it are stripped.
	writer []byte
}

func newGroups(options map[string]string, log *slog.Logger) (*groups, error) {
	ml, err := declare.ParseMultiline(options)
	if err != nil {
		return nil, fmt.Errorf("multiline.%w", err)
	}
	r, err := newRule(&ml, log)
	if r == nil || err != nil {
		return nil, err
	}
	g := &groups{rule: r, maxLines: ml.MaxLines, maxBytes: ml.MaxBytes, timeout: int64(ml.Timeout)}
	g.strip, err = newStripper(ml.Strip)
	return g, err
}

// groupsOf returns the groups of a format that itself has records of several lines. Only bounds are declared for them.
func groupsOf(r rule, options map[string]string) (*groups, error) {
	ml, err := declare.ParseMultiline(options)
	if err != nil {
		return nil, fmt.Errorf("multiline.%w", err)
	}
	return &groups{rule: r, maxLines: ml.MaxLines, maxBytes: ml.MaxBytes, timeout: int64(ml.Timeout)}, nil
}

// slow reports whether the rule runs declared expressions.
func (g *groups) slow() bool {
	_, ok := g.rule.(*expressions)
	return ok
}

// add adds the next line, and emits the groups that it completes.
func (g *groups) add(c *Chain, b *record.Batch, r record.Record, now int64) {
	open := &g.byStd[r.Std]
	if g.strip != nil {
		if writer := g.strip.apply(&r); open.lines > 0 && len(writer) > 0 && !bytes.Equal(writer, open.writer) {
			open.emit(c, b, now) // a line of another writer continues nothing
			open.writer = append(open.writer[:0], writer...)
		} else if open.lines == 0 {
			open.writer = append(open.writer[:0], writer...)
		}
	}
	next := complete
	if open.lines > 0 {
		var ok bool
		if next, ok = g.rule.next(open.state, r.Line); !ok {
			open.emit(c, b, now)
		} else if open.lines == g.maxLines || open.size()+1+len(r.Line) > g.maxBytes {
			open.first.Truncated = true
			open.emit(c, b, now)
			open.begin(r)
		} else {
			open.join(&r)
		}
	}
	if open.lines == 0 {
		next = g.rule.begin(r.Line)
		open.begin(r)
	}
	open.state, open.touched = next, now
	if next == complete || r.Truncated {
		open.emit(c, b, now)
	}
}

func (o *group) size() int {
	if o.copied {
		return len(o.text)
	}
	return len(o.first.Line)
}

func (o *group) begin(r record.Record) { o.first, o.lines, o.copied = r, 1, false }

func (o *group) join(r *record.Record) {
	o.detach()
	o.text = append(append(o.text, '\n'), r.Line...)
	o.first.Truncated = o.first.Truncated || r.Truncated
	o.lines++
}

// detach copies the group out of the batch.
func (o *group) detach() {
	if o.lines > 0 && !o.copied {
		o.text, o.first.Line, o.copied = append(o.text[:0], o.first.Line...), nil, true
	}
}

// emit passes the group on as one record, and closes it.
func (o *group) emit(c *Chain, b *record.Batch, now int64) {
	r := &o.first
	if o.copied {
		r.Line = b.Hold(o.text)
	}
	c.emit(b, r, now)
	o.first, o.lines = record.Record{}, 0
	o.text = trimmed(o.text)
}

// detach copies all groups out of the batch.
func (g *groups) detach() {
	for i := range g.byStd {
		g.byStd[i].detach()
	}
	g.count()
}

// held returns how many groups are open.
func (g *groups) held() int {
	n := 0
	for i := range g.byStd {
		if g.byStd[i].lines > 0 {
			n++
		}
	}
	return n
}

// oldest returns the open group that began first; nil if none is open.
func (g *groups) oldest() *group {
	var first *group
	for i := range g.byStd {
		if o := &g.byStd[i]; o.lines > 0 && (first == nil || o.first.Offset < first.first.Offset) {
			first = o
		}
	}
	return first
}

// open returns the offset of the oldest group; -1 if none is open.
func (g *groups) open() int64 {
	if o := g.oldest(); o != nil {
		return o.first.Offset
	}
	return -1
}

// end ends all groups.
func (g *groups) end(c *Chain, b *record.Batch, now int64) {
	for o := g.oldest(); o != nil; o = g.oldest() {
		o.emit(c, b, now)
	}
}

// expire ends the groups that got no line within the timeout, and those for which there is no memory.
func (g *groups) expire(c *Chain, b *record.Batch, now int64) {
	for i := range g.byStd {
		o := &g.byStd[i]
		if o.lines == 0 {
			continue
		}
		old, all := now-o.touched >= g.timeout, holding.Load()
		if crowded := all > heldAtMost || all > heldByLarge && cap(o.text) > largeGroup; old || crowded {
			o.first.Truncated = o.first.Truncated || !old
			o.emit(c, b, now)
			g.count()
		}
	}
}

// discard drops all groups.
func (g *groups) discard() {
	g.byStd = [record.Stderr + 1]group{}
	g.count()
}

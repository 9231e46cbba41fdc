// SPDX-License-Identifier: Apache-2.0

// Package format processes lines: it groups lines that belong together, parses them into fields, and filters them.
package format

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
)

// Chain processes the records of one stream as a declaration asks, in this order: multiline, keep and drop on the line,
// format, keep and drop on fields, mask, add, remove, rename, sample, rate_limit. It holds state (open groups of lines),
// belongs to one stream, and is used by one goroutine at a time.
//
// Records that Remora wrote itself (record.Record.Marker) pass through unchanged. The output depends only on the input, not on
// how it was split into batches; time, and the memory that all chains hold, matter only in Expire and in rate_limit.
//
// A chain's output is bounded. Filters don't make a record larger than the limit for records: it is cut there and marked as
// truncated. A call of Apply ends when it has added maxGrowth bytes to the batch or has taken maxTurn; the records that are
// left wait in the backlog for the next call.
type Chain struct {
	groups    *groups  // nil if each line is a record
	csv       bool     // groups are csvRule's: a line is a record unless it ends within quotes
	skipEmpty bool     // empty lines are dropped
	lines     []filter // keep and drop on the line
	parser    parser   // nil if the format is none
	keepLine  bool     // the line stays in addition to its fields
	fields    []filter // keep and drop on fields
	masks     *masker
	edits     *editor
	names     names
	shape     *shaper // nil if fields stay as the format makes them
	into      member  // the member that holds the fields; empty for the record itself
	sample    *sampler
	limit     *limiter
	max       int  // bytes of a record
	slow      bool // there are declared expressions, which may take long
	costly    bool // the last call took so long that the next is measured
	backlog   backlog
	turn      turn

	judged Judged // by sample and limit; see Resume
	from   int64  // see Judged.From
	replay bool   // see Replay

	at      *int64 // see Watch
	suspect func(*record.Record, int64) bool

	spent                 atomic.Int64 // CPU time in ns
	out                   int          // index of the next output record, while Apply or Expire run
	filtered, parseErrors atomic.Int64
}

// Options holds what a chain needs besides its declaration.
type Options struct {
	// Log receives a message when an expression is switched off because it takes too much time.
	Log *slog.Logger
	// MaxRecordBytes is REMORA_MAX_RECORD_BYTES, which bounds what filters make of a record. 0 means DefaultMaxRecordBytes.
	MaxRecordBytes int
	// Rates, if not nil, holds the rates that all streams of one declaration share; Owner names the container and the output
	// of the declaration. Without Rates each chain has its own rate_limit.
	Rates *Rates
	Owner string
}

// DefaultMaxRecordBytes is the default limit of a record.
const DefaultMaxRecordBytes = 1 << 20

// New returns the chain of d for the records of src; nil, without an error, if there is nothing to do. An error names the key
// as it is declared below the log's name.
func New(d declare.Declaration, src *record.Source, o Options) (*Chain, error) {
	c := &Chain{max: cmp.Or(o.MaxRecordBytes, DefaultMaxRecordBytes)}
	log := o.Log.With("log", d.Name, "stream", src.Stream)
	var err error
	if c.groups, err = newGroups(d.Multiline, log); err != nil {
		return nil, err
	}
	if c.keepLine, err = keepMessage(d.FormatOptions); err != nil {
		return nil, err
	}
	c.names = names{src: src, keepLine: c.keepLine, schema: schemaOf(d), server: servers[d.Format]}
	if c.parser, err = newParser(d, &c.names, log); err != nil {
		return nil, err
	}
	if c.shape, err = newShaper(d.FormatOptions, &c.names); err != nil {
		return nil, err
	}
	if c.into, err = newInto(d.FormatOptions, &c.names); err != nil {
		return nil, err
	}
	if csv, ok := c.parser.(*csvParser); ok {
		c.skipEmpty = true
		if c.groups == nil {
			c.groups, err = groupsOf(csvRule{csv}, d.Multiline)
			if c.csv = true; err != nil {
				return nil, err
			}
		}
	}
	filters, err := declare.ParseFilters(d.Filters)
	if err != nil {
		return nil, err
	}
	if err := c.addFilters(filters, src, log); err != nil {
		return nil, err
	}
	c.limit = o.newLimiter(d.Name, filters.RateLimit)
	c.slow = len(c.lines)+len(c.fields) > 0 || c.masks != nil && len(c.masks.exprs) > 0 || d.Format == "regexp" ||
		c.groups != nil && c.groups.slow()
	if c.groups == nil && c.parser == nil && len(c.lines)+len(c.fields) == 0 && c.masks == nil && c.edits == nil &&
		c.sample == nil && c.limit == nil {
		return nil, nil
	}
	return c, nil
}

func keepMessage(options map[string]string) (bool, error) {
	text, ok := options["keep_message"]
	if !ok {
		return false, nil
	}
	keep, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("format.keep_message: %q is neither true nor false", text)
	}
	return keep, nil
}

func (c *Chain) addFilters(f declare.Filters, src *record.Source, log *slog.Logger) (err error) {
	for _, set := range []struct {
		key        string
		drop       bool
		conditions []declare.Condition
	}{{"keep", false, f.Keep}, {"drop", true, f.Drop}} {
		for _, condition := range set.conditions {
			flt, err := newFilter(set.key, set.drop, condition, log)
			if err != nil {
				return err
			}
			if condition.Field == "" {
				c.lines = append(c.lines, flt)
			} else {
				c.fields = append(c.fields, flt)
			}
		}
	}
	if c.masks, err = newMasker(f.Masks, &c.names, log); err != nil {
		return err
	}
	c.edits = newEditor(f, &c.names, log)
	c.sample = newSampler(f.Sample)
	return nil
}

// Apply processes b.Records[from:] in place. There may be fewer records afterwards (grouped, dropped by a filter) or more (a
// group that ends, a notice of suppressed lines). now is in ns since 1970. last means that nothing follows for now, so open
// groups end. Apply copies what has to outlive the batch, and puts what the batch needs beyond its bytes into its arena.
//
// If Pending is true afterwards, not all of the records fitted. Apply must then be called again, without new records and with
// a batch that has room, before anything else is read.
func (c *Chain) Apply(b *record.Batch, from int, now int64, last bool) {
	c.beginTurn(b, from)
	if c.Pending() {
		c.postpone(b, from)
		c.out = from
		c.catchUp(b, now)
	} else {
		c.all(b, from, now)
	}
	if c.backlog.records != nil {
		c.backlog.last = c.backlog.last || last
	} else if last = last || c.backlog.last; last || c.limit != nil {
		c.backlog.last = false
		c.end(b, now, last)
	}
	c.truncate(b)
	if c.groups != nil {
		c.groups.detach()
	}
	c.endTurn()
}

// end ends the groups and sends the notice that a call leaves open.
func (c *Chain) end(b *record.Batch, now int64, last bool) {
	if last && c.groups != nil {
		c.groups.end(c, b, now)
	}
	if c.limit != nil {
		c.limit.notice(c, b, now, last)
	}
}

// all processes the records of b from index from on until the turn is over, and postpones the rest.
func (c *Chain) all(b *record.Batch, from int, now int64) {
	// What the chain holds back may come out before the first of the new records. Make room for it, so that no record is
	// overwritten before it was processed.
	in := from
	if held := c.held(); held > 0 {
		var room [record.Stderr + 2]record.Record // a group of each standard stream, and a notice
		b.Records = slices.Insert(b.Records, from, room[:held]...)
		in += held
	}
	c.out = from
	for first := in; in < len(b.Records); in++ {
		if in > first && c.over(b) {
			c.postpone(b, in)
			return
		}
		if r := &b.Records[in]; !r.Marker && (c.groups == nil || c.csv && isEven(r.Line) && c.groups.held() == 0) {
			c.emit(b, r, now)
		} else {
			c.take(b, r, now)
		}
	}
}

// Watch makes the chain write one more than the mark of the record that it works on to *at. The caller sets *at to 0 after
// each call. suspect, if not nil, is called before each record; it returns false for one to be left out.
func (c *Chain) Watch(at *int64, suspect func(r *record.Record, mark int64) bool) {
	c.at, c.suspect = at, suspect
}

// markOf returns the mark of r, which holds its offset and what is done with it: a line that is joined to others and the
// resulting record begin at the same offset.
func markOf(r *record.Record, joining int64) int64 { return r.Offset<<1 | joining }

// OffsetOf returns the offset of the record with that mark.
func OffsetOf(mark int64) int64 { return mark >> 1 }

// begin marks r, and reports whether to process it.
func (c *Chain) begin(r *record.Record, joining int64) bool {
	if c.at == nil {
		return true
	}
	mark := markOf(r, joining)
	if c.suspect != nil && !c.suspect(r, mark) {
		return false
	}
	*c.at = mark + 1
	return true
}

// take passes one record to the first stage of the chain.
func (c *Chain) take(b *record.Batch, r *record.Record, now int64) {
	switch {
	case r.Marker:
		c.deliver(b, r)
	case c.groups != nil:
		if c.begin(r, 1) {
			c.groups.add(c, b, *r, now)
		}
	default:
		c.emit(b, r, now)
	}
}

// CPU returns the CPU time that the chain has taken since it was made: measured if it is much, else estimated. Any goroutine
// may call it.
func (c *Chain) CPU() time.Duration { return time.Duration(c.spent.Load()) }

// held returns an upper bound of the records that come out but did not go in with this batch.
func (c *Chain) held() int {
	n := 0
	if c.groups != nil {
		n = c.groups.held()
	}
	if c.limit != nil && c.limit.suppressed > 0 {
		n++
	}
	return n
}

// truncate cuts the batch after the last record that came out.
func (c *Chain) truncate(b *record.Batch) {
	clear(b.Records[c.out:])
	b.Records = b.Records[:c.out]
}

// emit passes r through the chain after multiline. r may lie in the batch, at or after the place it is delivered to.
func (c *Chain) emit(b *record.Batch, r *record.Record, now int64) {
	if c.skipEmpty && len(r.Line) == 0 {
		return
	}
	if !c.begin(r, 0) {
		return
	}
	if !passes(c.lines, b, r) {
		c.filtered.Add(1)
		return
	}
	if c.parser != nil || c.masks != nil {
		c.names.begin()
	}
	if c.parser != nil {
		c.parse(b, r)
	}
	if c.shape != nil {
		c.shape.apply(b, r)
	}
	if !passes(c.fields, b, r) {
		c.filtered.Add(1)
		return
	}
	if c.masks != nil || c.edits != nil {
		c.change(b, r)
	}
	if c.into != "" {
		c.wrap(b, r)
	}
	c.names.settle(b, r)
	if (c.sample != nil || c.limit != nil) && !c.judge(b, r, now) {
		c.filtered.Add(1)
		return
	}
	c.deliver(b, r)
}

// judge reports whether sample and rate_limit let r pass.
func (c *Chain) judge(b *record.Batch, r *record.Record, now int64) bool {
	if c.replay && r.Offset < c.from {
		return true // it is acknowledged, and not sent again
	}
	before := c.judged
	if c.sample != nil {
		c.judged.Sampled++
		if !c.sample.pass(before.Sampled) {
			return false
		}
	}
	if c.limit != nil {
		c.judged.Limited++
		return c.limit.pass(c, b, r, before, now)
	}
	return true
}

// change masks and edits r. Neither makes it larger than the limit, or than it was.
func (c *Chain) change(b *record.Batch, r *record.Record) {
	limit := max(c.max, len(r.Line)+len(r.Fields))
	if c.masks != nil {
		c.masks.apply(b, r, limit)
	}
	if c.edits != nil {
		c.edits.apply(b, r, limit)
	}
}

// parse parses the line. A line that does not have the declared format is kept, with a parse_error.
func (c *Chain) parse(b *record.Batch, r *record.Record) {
	p := c.parser.parse(b, r)
	if p.what != "" {
		c.parseErrors.Add(1)
		p.addTo(b, r, &c.names)
	}
	if !p.keepsLine && !c.keepLine {
		r.Line = nil
	} else {
		c.names.found = true
	}
}

// deliver puts r after the records that have come out.
func (c *Chain) deliver(b *record.Batch, r *record.Record) {
	if c.out == len(b.Records) {
		b.Records = append(b.Records, *r)
	} else if to := &b.Records[c.out]; to != r {
		*to = *r
	}
	c.out++
}

// Open returns the Offset of the oldest record that the chain holds back, or -1.
func (c *Chain) Open() int64 {
	at := int64(-1)
	if c.groups != nil {
		at = c.groups.open()
	}
	if c.limit != nil && c.limit.suppressed > 0 && (at < 0 || c.limit.offset < at) {
		at = c.limit.offset
	}
	if c.Pending() && (at < 0 || c.backlog.low() < at) {
		at = c.backlog.low()
	}
	return at
}

// Expire ends the groups whose timeout has passed at now, and some others while all chains together hold too much, and appends
// them to b, filtered and parsed. It must not be called while records are read that were acknowledged before a restart: those
// groups must end where they did then.
func (c *Chain) Expire(b *record.Batch, now int64) {
	if c.Pending() {
		return // records that follow an open group are in the backlog
	}
	c.beginTurn(b, len(b.Records))
	c.out = len(b.Records)
	if c.groups != nil {
		c.groups.expire(c, b, now)
	}
	if c.limit != nil {
		c.limit.notice(c, b, now, false)
	}
	c.endTurn()
}

// Limited reports whether the output depends on more than the input: on other streams, and on time.
func (c *Chain) Limited() bool { return c.limit != nil }

// Learned returns what multiline.preset=auto has learned from complete records; empty if it learns nothing. The caller stores
// it, for Restore, with the position up to which these were acknowledged.
func (c *Chain) Learned() string {
	if c.groups != nil {
		if a, ok := c.groups.rule.(*auto); ok {
			return a.learned()
		}
	}
	return ""
}

// Restore makes a new chain continue with what another one had learned, so that it groups what is read again into the same
// records.
func (c *Chain) Restore(learned string) {
	if c.groups != nil && learned != "" {
		if a, ok := c.groups.rule.(*auto); ok {
			a.restore(learned)
		}
	}
}

// Discard releases what the chain holds. It is for a chain that is dropped before its stream has ended, and that is not used
// afterwards.
func (c *Chain) Discard() {
	if c.groups != nil {
		c.groups.discard()
	}
	c.backlog = backlog{}
}

// Counts holds what the chain has done so far. Filtered records were dropped by a filter.
type Counts struct{ Filtered, ParseErrors int64 }

// Counts returns the chain's counts. Any goroutine may call it.
func (c *Chain) Counts() Counts {
	return Counts{Filtered: c.filtered.Load(), ParseErrors: c.parseErrors.Load()}
}

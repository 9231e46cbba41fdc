// Package format takes lines apart: it groups lines that belong together, parses them into fields, and filters them.
package format

import "github.com/remora-logs/remora/shared/record"

// Chain is what a declaration asks to be done with the records of one stream, in this order: multiline, keep and drop on
// the line, format, keep and drop on fields, mask, add, remove, rename, sample, rate_limit. It holds state (open groups
// of lines), belongs to one stream, and is used by one goroutine at a time.
type Chain struct{}

// Apply works on b.Records[from:] in place; records may become fewer (grouped, dropped by a filter) or more (a group
// that ends, a notice of suppressed lines). now is in ns since 1970. last says that nothing follows: open groups end.
// What has to outlive the batch is copied; what the batch needs beyond its bytes is put into its arena.
func (c *Chain) Apply(b *record.Batch, from int, now int64, last bool) {}

// Open is the Offset of the oldest record that the chain holds back, or -1.
func (c *Chain) Open() int64 { return -1 }

// Expire ends the groups that are older than their timeout at now, and appends them to b, filtered and parsed.
func (c *Chain) Expire(b *record.Batch, now int64) {}

// Counts is what the chain has done so far. Filtered records were dropped because a filter asked for it.
type Counts struct{ Filtered, ParseErrors int64 }

// Counts may be called from any goroutine.
func (c *Chain) Counts() Counts { return Counts{} }

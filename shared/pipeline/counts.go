// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"cmp"
	"slices"
	"time"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/record"
)

// Counts holds what became of a feed's records since the process started, and of the bytes of the stream that they were made
// of. At any moment Read = Sent + Queued + Dropped + Refused + Parked, in records and in bytes.
type Counts struct {
	// Read counts the records to be delivered. It does not include records that a filter dropped, but does include records
	// that were lost before they were read, if their number is known. Remora's own markers count as records.
	ReadRecords int64 `json:"read_records"`
	ReadBytes   int64 `json:"read_bytes"`
	// Sent records were acknowledged by the backend.
	SentRecords int64 `json:"sent_records"`
	SentBytes   int64 `json:"sent_bytes"`
	// Queued records were read and are still to be delivered: they wait, or are in flight.
	QueuedRecords int64 `json:"queued_records"`
	QueuedBytes   int64 `json:"queued_bytes"`
	// Dropped records were lost before they were read, because the spool was full or the file was truncated.
	DroppedRecords int64 `json:"dropped_records"`
	DroppedBytes   int64 `json:"dropped_bytes"`
	// Refused records will never be accepted by the backend, or were given up.
	RefusedRecords int64 `json:"refused_records"`
	RefusedBytes   int64 `json:"refused_bytes"`
	// Parked records are on disk until their destination accepts them. Those that an earlier process parked count as read.
	ParkedRecords int64 `json:"parked_records"`
	ParkedBytes   int64 `json:"parked_bytes"`
	// Gaps counts the places where records were dropped. Filtered counts records that a declared filter dropped, ParseErrors
	// those that did not fit their format, and SkippedBytes the bytes that no record could be made of.
	Gaps         int64 `json:"gaps"`
	Filtered     int64 `json:"filtered"`
	ParseErrors  int64 `json:"parse_errors"`
	SkippedBytes int64 `json:"skipped_bytes"`
}

func (c *Counts) read(t tally) {
	c.ReadRecords += t.records
	c.ReadBytes += t.bytes
	c.Filtered += t.filtered
	c.ParseErrors += t.parseErrors
	c.SkippedBytes += t.skipped
}

// park counts records that are parked; negative numbers count records that are no longer parked.
func (c *Counts) park(records, bytes int64) {
	c.ParkedRecords += records
	c.ParkedBytes = max(0, c.ParkedBytes+bytes)
}

func (c *Counts) drop(records, bytes int64) {
	c.ReadRecords += records
	c.ReadBytes += bytes
	c.DroppedRecords += records
	c.DroppedBytes += bytes
}

func (c *Counts) settle() {
	c.QueuedRecords = c.ReadRecords - c.SentRecords - c.DroppedRecords - c.RefusedRecords - c.ParkedRecords
	c.QueuedBytes = c.ReadBytes - c.SentBytes - c.DroppedBytes - c.RefusedBytes - c.ParkedBytes
}

// ParkedDisk returns how many bytes on disk the parked records of all outputs occupy, and how many they may.
func (p *Pipeline) ParkedDisk() (used, limit int64) {
	if p.parked == nil {
		return 0, 0
	}
	return p.parked.Size(), p.parked.Limit()
}

// Add adds o to c.
func (c *Counts) Add(o Counts) {
	c.ReadRecords += o.ReadRecords
	c.ReadBytes += o.ReadBytes
	c.SentRecords += o.SentRecords
	c.SentBytes += o.SentBytes
	c.DroppedRecords += o.DroppedRecords
	c.DroppedBytes += o.DroppedBytes
	c.RefusedRecords += o.RefusedRecords
	c.RefusedBytes += o.RefusedBytes
	c.ParkedRecords += o.ParkedRecords
	c.ParkedBytes += o.ParkedBytes
	c.Gaps += o.Gaps
	c.Filtered += o.Filtered
	c.ParseErrors += o.ParseErrors
	c.SkippedBytes += o.SkippedBytes
	c.settle()
}

// Status is the status of a feed.
type Status struct {
	checkpoint.Key
	// Source is what its records share.
	Source *record.Source
	Counts
	// Prior is what feeds of the same container, declaration and output counted that are done, such as those of a container's
	// earlier starts or of rotated files. A live feed carries it, so that the sum for all of them never decreases.
	Prior Counts
	// Acked is the position up to which the backend has acknowledged the stream, and Backlog the number of bytes beyond it.
	Acked   checkpoint.Position
	Backlog int64
	// Lag is 0 without a backlog. Otherwise it is the time since the feed was up to date, or the age of the newest
	// acknowledged record if that is less. An incomplete record is not a lag.
	Lag time.Duration
	// Losses is what went wrong since the stream began, earlier processes included, with the last reason why it could not be
	// read or a record was refused.
	Losses checkpoint.Losses
	// Waiting is set while the stream waits at its checkpoint because its destination does not accept its records, and
	// Parking while records of it are parked.
	Waiting, Parking *Waiting
	// CPU is the time that formats and filters have taken. Deferred is since when the stream has been served after others,
	// because its formats and filters take more time than theirs; zero if it is not.
	CPU      time.Duration
	Deferred time.Time
}

// givesUp is a stream that knows what was given up at or above off before its reader gets there: while a backend is down,
// records may be lost that no reader gets to.
type givesUp interface {
	GivenUp(off int64) (gaps, records, bytes int64)
}

// Status returns the status of the feed.
func (f *Feed) Status(now time.Time) Status {
	end := f.route.Stream.End()
	l := &f.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Status{CPU: time.Duration(f.cpu.Load()), Key: f.key, Source: f.route.Source, Counts: l.counts, Prior: l.carried, Acked: l.acked,
		Backlog: max(0, end-l.acked.Low), Losses: l.losses}
	if ahead, ok := f.route.Stream.(givesUp); ok {
		gaps, records, bytes := ahead.GivenUp(max(l.cursor, l.dropsTo))
		s.drop(records, bytes)
		s.Gaps += gaps
	}
	s.settle()
	if s.Backlog > 0 {
		s.Lag = max(0, now.Sub(time.Unix(0, max(l.newest, l.caughtUpAt))))
	}
	if since := f.deferred.Load(); since != 0 {
		s.Deferred = time.Unix(0, since)
	}
	if l.waiting != nil {
		w := l.waiting.Waiting
		s.Waiting = &w
	}
	if l.parking != nil && l.counts.ParkedRecords > 0 {
		w := *l.parking
		s.Parking = &w
	}
	return s
}

// SinkStatus is the status of an output.
type SinkStatus struct {
	Output string
	// Err is why the output fails, empty if it does not. Since is when it began to fail.
	Err   string
	Since time.Time
	Code  string // of the message that says what to do about Err
	// Conflicts is how many records were stored in another form because a field's type did not fit.
	Conflicts int64
	Delays    Delays
}

// adapting is an output that changes a record's form if the backend refuses it as it is.
type adapting interface{ Conflicts() int64 }

// Status returns the status of all feeds, ordered by their keys, of all outputs, ordered by their names, and the totals since
// the process started, which include feeds that are done.
func (p *Pipeline) Status(now time.Time) (feeds []Status, sinks []SinkStatus, total Counts) {
	p.mu.Lock()
	live := make([]*Feed, 0, len(p.feeds))
	for _, f := range p.feeds {
		live = append(live, f)
	}
	total = p.ended
	for _, f := range live {
		s := f.Status(now)
		feeds = append(feeds, s)
		total.Add(s.Counts)
	}
	p.mu.Unlock()
	slices.SortFunc(feeds, func(a, b Status) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Declaration, b.Declaration),
			cmp.Compare(a.Key.Output, b.Key.Output))
	})
	for name, l := range p.sinks {
		s := SinkStatus{Output: name, Delays: l.delays.get()}
		if since, err := l.state.get(now); err != nil {
			s.Err, s.Since, s.Code = err.Error(), since, failureOf(err).Code
		}
		if a, ok := l.output.(adapting); ok {
			s.Conflicts = a.Conflicts()
		}
		sinks = append(sinks, s)
	}
	slices.SortFunc(sinks, func(a, b SinkStatus) int { return cmp.Compare(a.Output, b.Output) })
	return feeds, sinks, total
}

// Since returns what was counted since before, an earlier state of c. Gauges, which go up and down, are 0 in the result. If c
// is lower than before, Since counts from 0.
func (c Counts) Since(before Counts) Counts {
	if c.ReadRecords < before.ReadRecords || c.ReadBytes < before.ReadBytes {
		before = Counts{}
	}
	c.ReadRecords -= before.ReadRecords
	c.ReadBytes -= before.ReadBytes
	c.SentRecords -= before.SentRecords
	c.SentBytes -= before.SentBytes
	c.DroppedRecords -= before.DroppedRecords
	c.DroppedBytes -= before.DroppedBytes
	c.RefusedRecords -= before.RefusedRecords
	c.RefusedBytes -= before.RefusedBytes
	c.Gaps -= before.Gaps
	c.Filtered -= before.Filtered
	c.ParseErrors -= before.ParseErrors
	c.SkippedBytes -= before.SkippedBytes
	c.CopyGauges(&Counts{})
	return c
}

// CopyGauges sets the gauges of c, which go up and down, to those of o.
func (c *Counts) CopyGauges(o *Counts) {
	c.QueuedRecords, c.QueuedBytes = o.QueuedRecords, o.QueuedBytes
	c.ParkedRecords, c.ParkedBytes = o.ParkedRecords, o.ParkedBytes
}

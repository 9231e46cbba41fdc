// SPDX-License-Identifier: Apache-2.0

// Package try shows what a declaration makes of the lines of a log, without collecting or delivering anything.
package try

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/format"
	"github.com/remora-logs/remora/shared/record"
)

// Summary counts what became of the lines.
type Summary struct {
	Lines     int64 `json:"lines"`
	Records   int64 `json:"records"`
	Filtered  int64 `json:"filtered"`
	Truncated int64 `json:"truncated"`
	// Unmatched counts the records that did not fit the format, by the reason.
	Unmatched map[string]int64 `json:"unmatched"`
	// first is the number of the first record with a reason.
	first map[string]int64
}

const (
	maxRecord  = 1 << 20
	maxReasons = 64
	readSize   = 2 * maxRecord // of which a record is never longer
)

// Run sends what in holds, as a file at path, through the format and the filters of d, and writes the records to out, one
// JSON object a line. Memory is bounded, whatever in holds.
func Run(d declare.Declaration, path string, in io.Reader, out io.Writer) (Summary, error) {
	tags := make([]record.Tag, 0, len(d.Tags))
	for _, key := range slices.Sorted(maps.Keys(d.Tags)) {
		tags = append(tags, record.Tag{Key: key, Value: d.Tags[key]})
	}
	src := format.NewSource(d, "sample", path, tags, nil)
	chain, err := format.New(d, src, format.Options{Log: slog.New(slog.DiscardHandler), MaxRecordBytes: maxRecord})
	if err != nil {
		return Summary{}, err
	}
	cutter, err := newCutter(d, src)
	if err != nil {
		return Summary{}, err
	}
	r := run{in: in, out: out, chain: chain, cutter: cutter, batch: record.NewBatch(readSize),
		sum: Summary{Unmatched: make(map[string]int64), first: make(map[string]int64)}, now: time.Now().UnixNano()}
	if err := r.all(); err != nil {
		return r.sum, err
	}
	if chain != nil {
		r.sum.Filtered = chain.Counts().Filtered
	}
	return r.sum, nil
}

func newCutter(d declare.Declaration, src *record.Source) (cut.Cutter, error) {
	if encoding := d.Files["encoding"]; encoding != "" && encoding != "utf-8" {
		return cut.NewEncoded(encoding, src, maxRecord)
	}
	return cut.NewLines(src, maxRecord), nil
}

type run struct {
	in     io.Reader
	out    io.Writer
	chain  *format.Chain
	cutter cut.Cutter
	batch  *record.Batch
	enc    record.Encoder
	text   []byte
	now    int64
	sum    Summary
}

func (r *run) all() error {
	var rest []byte
	for at, last := int64(0), false; !last; {
		r.batch.Reset()
		free := r.batch.Free()
		n := copy(free, rest)
		more, err := io.ReadFull(r.in, free[n:])
		if last = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF); err != nil && !last {
			return fmt.Errorf("cannot read the sample: %w", err)
		}
		data := free[:n+more]
		r.batch.Keep(len(data))
		used := r.cutter.Cut(r.batch, data, at, r.now, last)
		rest = append(rest[:0], data[used:]...)
		at += int64(used)
		r.sum.Lines += int64(len(r.batch.Records))
		for from, end := 0, last; ; from, end = 0, false {
			if r.chain != nil {
				r.chain.Apply(r.batch, from, r.now, end)
			}
			if err := r.write(); err != nil {
				return err
			}
			if r.chain == nil || !r.chain.Pending() {
				break
			}
			r.batch.Records = r.batch.Records[:0]
			r.batch.Reset()
		}
	}
	return nil
}

// write writes the batch's records, and counts them.
func (r *run) write() error {
	r.text = r.text[:0]
	for i := range r.batch.Records {
		rec := &r.batch.Records[i]
		r.sum.count(rec)
		r.text = append(r.enc.AppendRecord(r.text, rec), '\n')
	}
	if len(r.text) == 0 {
		return nil
	}
	if _, err := r.out.Write(r.text); err != nil {
		return fmt.Errorf("cannot write the records: %w", err)
	}
	return nil
}

// place is what a reason says of where in its line something is wrong.
var place = regexp.MustCompile(` at byte \d+$`)

func (s *Summary) count(r *record.Record) {
	s.Records++
	if r.Truncated {
		s.Truncated++
	}
	record.EachField(r.Fields, func(key, value []byte) bool {
		if name := string(key); name != "parse_error" && name != "error.message" {
			return true
		}
		reason := place.ReplaceAllString(string(record.AppendText(nil, value)), "")
		if _, known := s.Unmatched[reason]; !known && len(s.Unmatched) >= maxReasons {
			reason = "other reasons"
		}
		if s.Unmatched[reason]++; s.Unmatched[reason] == 1 {
			s.first[reason] = s.Records
		}
		return false
	})
}

// String says in some lines what became of the sample.
func (s Summary) String() string {
	var b strings.Builder
	unmatched := int64(0)
	for _, n := range s.Unmatched {
		unmatched += n
	}
	fmt.Fprintf(&b, "%d lines, %d records, %d filtered, %d did not match\n", s.Lines, s.Records, s.Filtered, unmatched)
	reasons := slices.SortedFunc(maps.Keys(s.Unmatched), func(a, b string) int {
		return cmp.Or(cmp.Compare(s.Unmatched[b], s.Unmatched[a]), strings.Compare(a, b))
	})
	for _, reason := range reasons {
		fmt.Fprintf(&b, "  %d: %s (first: record %d)\n", s.Unmatched[reason], reason, s.first[reason])
	}
	if s.Truncated > 0 {
		fmt.Fprintf(&b, "  %d were truncated\n", s.Truncated)
	}
	return b.String()
}

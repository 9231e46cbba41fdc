// SPDX-License-Identifier: Apache-2.0

package format

import "math"

// Judged says how far sample and rate_limit have come in a stream, so that a later chain judges what is read again as the
// earlier one did. It belongs to a position of the stream, and is stored with it.
type Judged struct {
	// Sampled and Limited count the records that sample and rate_limit have judged.
	Sampled, Limited int64
	// From is the offset of the first record that is judged again although it lies before the position, because rate_limit has
	// suppressed it without a notice yet. It is math.MaxInt64 if there is none.
	From int64
}

// Verdicts holds the decisions of rate_limit on a stream's records for when these are read again: each is judged, and takes a
// token, once. It outlives chains, and belongs to one goroutine at a time.
type Verdicts struct {
	first int64   // the number of the first record with a verdict
	next  int64   // the number after the last one
	runs  []int64 // the numbers that passed, were then suppressed, passed again, and so on

	last   int64   // when a record was judged last, or nothing was left to judge, in ns since 1970
	credit float64 // tokens for what the stream's writer wrote while the stream was not read
}

// add adds the verdict on the next record.
func (v *Verdicts) add(passed bool) {
	v.next++
	if wantOdd := !passed; len(v.runs) == 0 || (len(v.runs)%2 == 0) != wantOdd {
		if len(v.runs) == 0 && wantOdd {
			v.runs = append(v.runs, 0)
		}
		v.runs = append(v.runs, 0)
	}
	v.runs[len(v.runs)-1]++
}

// Forget drops the verdicts on records before number n, which are not read again.
func (v *Verdicts) Forget(n int64) {
	drop := 0
	for drop+2 <= len(v.runs) && v.first+v.runs[drop]+v.runs[drop+1] <= n {
		v.first += v.runs[drop] + v.runs[drop+1]
		drop += 2
	}
	if drop > 0 {
		v.runs = append(v.runs[:0], v.runs[drop:]...)
	}
}

// of returns the verdict on record number n; known is false if there is none.
func (v *Verdicts) of(n int64) (passed, known bool) {
	if n < v.first || n >= v.next {
		return false, false
	}
	at := v.first
	for i, run := range v.runs {
		if at += run; n < at {
			return i%2 == 0, true
		}
	}
	return false, false
}

// CaughtUp notes that at now everything in the stream was read: from then on its writer is held to the limit again.
func (v *Verdicts) CaughtUp(now int64) {
	v.credit = 0
	if v.last != 0 {
		v.last = max(v.last, now)
	}
}

// Last returns when a record was judged last, or nothing was left to judge, in ns since 1970; 0 if no record ever was. The
// caller stores it for Since in a later process.
func (v *Verdicts) Last() int64 { return v.last }

// Since sets what Last returned in an earlier process, so that the time since then earns tokens.
func (v *Verdicts) Since(last int64) { v.last = last }

// earn adds the tokens of the time in which the stream was not read, at rate per second, up to now. It omits one second, for
// which the bucket holds tokens already.
func (v *Verdicts) earn(rate float64, now int64) {
	if idle := now - v.last - second; v.last != 0 && idle > 0 {
		v.credit += rate * float64(idle) / float64(second)
	}
	v.last = max(v.last, now)
}

// Resume makes a new chain judge records as an earlier chain of the stream did at that position. The stream earns the tokens
// of the time from then to now. v receives the chain's decisions.
func (c *Chain) Resume(at Judged, v *Verdicts, now int64) {
	c.judged, c.from = at, at.From
	if c.limit == nil {
		return
	}
	c.limit.verdicts = v
	v.earn(c.limit.bucket.rate, now)
}

// Replay sets whether the next records were acknowledged: these are not judged again.
func (c *Chain) Replay(on bool) { c.replay = on }

// Judged returns how far the chain has come.
func (c *Chain) Judged() Judged {
	if c.limit != nil && c.limit.suppressed > 0 {
		return c.limit.untold
	}
	j := c.judged
	j.From = math.MaxInt64
	return j
}

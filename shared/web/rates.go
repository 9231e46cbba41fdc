// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"sync"
	"time"

	"github.com/remora-logs/remora/shared/telemetry"
)

const (
	minutes  = 60
	maxRates = 2000 // rows that are remembered; one takes about 400 bytes
)

// Rates remembers how many records of each row were read in each minute of the last hour. It is safe for concurrent use.
type Rates struct {
	mu   sync.Mutex
	rows map[telemetry.RowKey]*hour
	at   int // the minute, in each hour, that was written last
	full int // minutes that were written
}

// hour is the minutes of one row, and what was counted at the end of the last.
type hour struct {
	minutes [minutes]uint32
	counted int64
	quiet   int // minutes since the last record
}

// NewRates remembers nothing yet.
func NewRates() *Rates { return &Rates{rows: map[telemetry.RowKey]*hour{}} }

// Run counts once a minute until ctx ends. count returns what was read of each row so far.
func (r *Rates) Run(ctx context.Context, count func() map[telemetry.RowKey]int64) {
	every := time.NewTicker(time.Minute)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			r.Add(count())
		}
	}
}

// Add writes a minute. A row is remembered from its first record until it is not counted any more, and then for an hour after
// its last.
func (r *Rates) Add(counts map[telemetry.RowKey]int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = (r.at + 1) % minutes
	r.full = min(r.full+1, minutes)
	for key, h := range r.rows {
		h.minutes[r.at] = 0
		h.quiet++
		if _, counted := counts[key]; !counted && h.quiet > minutes {
			delete(r.rows, key)
		}
	}
	for key, n := range counts {
		h := r.rows[key]
		if h == nil {
			if n == 0 || len(r.rows) >= maxRates {
				continue
			}
			h = &hour{}
			r.rows[key] = h
		}
		if n > h.counted { // a count falls where its row was forgotten
			h.minutes[r.at] = uint32(min(n-h.counted, 1<<32-1))
			h.quiet = 0
		}
		h.counted = n
	}
}

// rate is the last hour of a row: records in each minute, the oldest first.
type rate struct {
	Container   string   `json:"c"`
	Declaration string   `json:"d"`
	Output      string   `json:"o"`
	Minutes     []uint32 `json:"m"`
}

// Hour returns what is remembered.
func (r *Rates) Hour() []rate {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]rate, 0, len(r.rows))
	for key, h := range r.rows {
		of := rate{key.Container, key.Declaration, key.Output, make([]uint32, 0, r.full)}
		for i := range r.full {
			of.Minutes = append(of.Minutes, h.minutes[(r.at+minutes-r.full+1+i)%minutes])
		}
		all = append(all, of)
	}
	return all
}

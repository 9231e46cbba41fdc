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
	maxRates = 2000 // rows that are kept; each takes about 400 bytes
)

// Rates holds how many records of each row were read in each minute of the last hour. It is safe for concurrent use.
type Rates struct {
	mu   sync.Mutex
	rows map[telemetry.RowKey]*hour
	at   int // index in hour.minutes of the last minute written
	full int // number of minutes written, up to 60
}

// hour holds the last 60 minutes of one row as a ring, and the row's count at the end of the last one.
type hour struct {
	minutes [minutes]uint32
	counted int64
	quiet   int // minutes since the last record
}

// NewRates returns an empty Rates.
func NewRates() *Rates { return &Rates{rows: map[telemetry.RowKey]*hour{}} }

// Run calls Add once a minute until ctx ends. count returns the total number of records read for each row.
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

// Add adds a minute, given the totals of all rows. A row is kept from its first record on; once counts lacks it, it is removed
// an hour after its last record.
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
		if n > h.counted { // a total falls if its row was removed and added again
			h.minutes[r.at] = uint32(min(n-h.counted, 1<<32-1))
			h.quiet = 0
		}
		h.counted = n
	}
}

// rate is the last hour of a row: the records in each minute, oldest first.
type rate struct {
	Container   string   `json:"c"`
	Declaration string   `json:"d"`
	Output      string   `json:"o"`
	Minutes     []uint32 `json:"m"`
}

// Hour returns the last hour of all rows.
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

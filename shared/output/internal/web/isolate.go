// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/record"
)

// Suspect is an answer to a whole batch that the records of a single source may have caused: the page of a firewall that takes
// a line for an attack, or a connection that ends without an answer because the backend fails over a line. The backend may as
// well be broken.
type Suspect struct{ Cause error }

func (e *Suspect) Error() string { return e.Cause.Error() }
func (e *Suspect) Unwrap() error { return e.Cause }

// isSuspect reports whether err is a Suspect about the whole batch. One about a part of it is the cause of an output.Partial,
// and concerns only what is sent again.
func isSuspect(err error) bool {
	return errors.As(err, new(*Suspect)) && !errors.As(err, new(*output.Partial))
}

// suspect reports whether an answer of this status may be due to the content of the request. Firewalls answer with almost any:
// their page may be a 404, a redirect, or a status of their own. The others concern who asks, and when.
func suspect(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusTooEarly,
		http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return false
	}
	return true
}

const (
	// maxApart is how many destinations of a batch are sent apart at once. The rest follow in the next attempt.
	maxApart = 64
	// apartEvery is the pause after all destinations of a batch were sent apart in vain, which costs a request for each.
	apartEvery = time.Minute
	// aloneAfter is how long failures of one destination are taken for a sign that the whole backend is broken, if nothing
	// shows the contrary.
	aloneAfter = 10 * time.Second
	// maxSuspects bounds the destinations remembered as suspects.
	maxSuspects = 4096
)

// Isolation keeps records of one destination, to which a backend objects, from holding up those of others. A batch that is
// answered with a Suspect twice in a row is sent destination by destination. It is safe for concurrent use.
type Isolation struct {
	// Destination appends the name of r's destination; see output.Addressed.
	Destination func(dst []byte, r *record.Record) []byte

	mu     sync.Mutex
	repeat bool      // the last batch was answered with a Suspect
	next   time.Time // the earliest time at which a batch is sent apart
	taken  time.Time // when a batch was last taken
	// suspects holds the destinations to whose records, sent alone, the backend objects, and since when.
	suspects map[string]time.Time
}

// Write sends b, or parts of it, with send. It adds *output.Blocked and Blocked verdicts, by destination, to those of send.
func (n *Isolation) Write(ctx context.Context, b *record.Batch, send func(context.Context, *record.Batch) error) error {
	err := send(ctx, b)
	if !isSuspect(err) {
		if err == nil {
			n.worked(b)
		}
		return err
	}
	parts := n.divide(b)
	if len(parts) == 1 {
		if n.isAlone(parts[0].name, time.Now()) {
			return &output.Blocked{Destination: parts[0].name, Cause: err}
		}
		return err
	}
	if !n.failed(time.Now()) {
		return err
	}
	return n.apart(ctx, b, parts, send, err)
}

// part holds the records of one destination in a batch.
type part struct {
	name  string
	index []int
}

func (n *Isolation) divide(b *record.Batch) []*part {
	var all []*part
	of := make(map[string]*part)
	var name []byte
	for i := range b.Records {
		name = n.Destination(name[:0], &b.Records[i])
		p := of[string(name)]
		if p == nil {
			p = &part{name: string(name)}
			of[p.name] = p
			all = append(all, p)
		}
		p.index = append(p.index, i)
	}
	return all
}

// worked notes that all of b was taken.
func (n *Isolation) worked(b *record.Batch) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.repeat = false
	n.taken = time.Now()
	if len(n.suspects) == 0 {
		return
	}
	var name []byte
	for i := range b.Records {
		name = n.Destination(name[:0], &b.Records[i])
		delete(n.suspects, string(name))
	}
}

// failed notes that a batch for several destinations was answered with a Suspect, and reports whether to send it apart.
func (n *Isolation) failed(now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	repeat := n.repeat
	n.repeat = true
	return repeat && !now.Before(n.next)
}

// isAlone notes that a batch for one destination was answered with a Suspect, and reports whether the backend objects to that
// destination: something else was taken since it first objected, or it has objected for aloneAfter, and must not hold up other
// destinations any longer.
func (n *Isolation) isAlone(name string, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	since, known := n.suspects[name]
	if !known {
		n.suspect(name, now)
		return false
	}
	return n.taken.After(since) || now.Sub(since) >= aloneAfter
}

// suspect notes since when a destination is suspect. The caller must hold mu.
func (n *Isolation) suspect(name string, since time.Time) {
	if n.suspects == nil || len(n.suspects) >= maxSuspects {
		n.suspects = make(map[string]time.Time)
	}
	if _, known := n.suspects[name]; !known {
		n.suspects[name] = since
	}
}

// apart sends the parts of b one by one. If none is taken, the whole backend is broken: then cause is the verdict.
func (n *Isolation) apart(ctx context.Context, b *record.Batch, parts []*part, send func(context.Context, *record.Batch) error, cause error) error {
	verdict := &output.Partial{Cause: cause}
	var blocked []*part
	reasons := map[*part]error{}
	taken, out := false, false // a part was taken; the backend can't be reached
	for i, p := range parts {
		if i == maxApart || out || ctx.Err() != nil {
			for _, rest := range parts[i:] {
				verdict.Retry = append(verdict.Retry, rest.index...)
			}
			break
		}
		only := &record.Batch{Records: make([]record.Record, len(p.index))}
		for k, at := range p.index {
			only.Records[k] = b.Records[at]
		}
		err := send(ctx, only)
		var partial *output.Partial
		switch {
		case err == nil:
			taken = true
		case isSuspect(err):
			blocked = append(blocked, p)
			reasons[p] = err
		case errors.As(err, &partial):
			taken = true
			merge(verdict, partial, p.index)
		default: // it is sent again, and gets its verdict then
			verdict.Retry = append(verdict.Retry, p.index...)
			if Unsent(err) || errors.Is(err, context.DeadlineExceeded) {
				out = true // the others would fail too, one after the other
			}
		}
	}
	if !taken {
		n.mu.Lock()
		n.next = time.Now().Add(apartEvery)
		n.mu.Unlock()
		return cause
	}
	n.block(verdict, blocked, reasons)
	return sorted(verdict)
}

func (n *Isolation) block(verdict *output.Partial, blocked []*part, reasons map[*part]error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.repeat = len(verdict.Retry) > 0
	now := time.Now()
	for _, p := range blocked {
		n.suspect(p.name, now)
		reason := reasons[p].Error()
		for _, i := range p.index {
			verdict.Blocked = append(verdict.Blocked, output.Blockage{Index: i, Destination: p.name, Reason: reason})
		}
	}
	n.taken = now.Add(1) // other parts of this batch were taken
}

// AppendSource appends r's source as a destination. It is the narrowest one for a backend that has only one.
func AppendSource(dst []byte, r *record.Record) []byte {
	from, s := len(dst), r.Source
	dst = append(append(dst, "log "...), s.Declaration...)
	if name := s.Container(); name != "" {
		dst = append(append(dst, " of "...), name...)
	}
	dst = append(append(append(dst, " ("...), s.Stream...), ')')
	return dst[:min(len(dst), from+output.MaxDestination)]
}

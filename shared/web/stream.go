// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"net/http"
	"time"
)

const (
	// gatherTime is how long records are gathered before they are sent: a flush costs more than a record.
	gatherTime = 100 * time.Millisecond
	// sendTime bounds one write to a client. aliveEvery is how often a comment is sent in any case and the client's right to see
	// the records is checked again.
	sendTime, aliveEvery = 10 * time.Second, 15 * time.Second
)

// tail streams records as server-sent events: a message for each record, and events "missed" with the number of records that
// were left out because there were too many or the client was too slow.
func (p *Page) tail(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	viewer, err := p.options.Tails.Open(Wanted{query.Get("container"), query.Get("log"), query.Get("output")})
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer viewer.Close()
	w.Header().Set("Content-Type", "text/event-stream")
	to := http.NewResponseController(w)
	if _, err := fmt.Fprint(w, "retry: 3000\n: open\n\n"); err != nil || to.Flush() != nil {
		return
	}
	_ = to.SetReadDeadline(time.Time{}) // the connection stays open until the client closes it
	alive := time.NewTicker(aliveEvery)
	defer alive.Stop()
	var used []byte
	for {
		select {
		case <-r.Context().Done():
			return
		case <-alive.C:
			if p.ended(r) || !send(w, to, []byte(": alive\n\n"), 0) {
				return
			}
			continue
		case <-viewer.Ready():
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(gatherTime):
		}
		events, missed := viewer.Take(used)
		if !send(w, to, events, missed) {
			return
		}
		used = events
	}
}

// proof is the context key of a function that reports whether the client of a request may still see everything.
type proof struct{}

// ended reports whether the client has lost access: the token has changed, or the session has expired.
func (p *Page) ended(r *http.Request) bool {
	proves, ok := r.Context().Value(proof{}).(func() bool)
	return ok && !proves()
}

// send writes events and the number of missed records to the client, and reports whether that succeeded.
func send(w http.ResponseWriter, to *http.ResponseController, events []byte, missed int64) bool {
	if to.SetWriteDeadline(time.Now().Add(sendTime)) != nil {
		return false
	}
	if _, err := w.Write(events); err != nil {
		return false
	}
	if missed > 0 {
		if _, err := fmt.Fprintf(w, "event: missed\ndata: %d\n\n", missed); err != nil {
			return false
		}
	}
	return to.Flush() == nil
}

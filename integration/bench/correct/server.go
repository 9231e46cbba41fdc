// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/remora-logs/remora/integration/bench/pod"
	"github.com/remora-logs/remora/integration/verify"
)

// maxLines bounds the numbers that count as valid.
const maxLines = 100_000_000

// mood is the way the backend answers.
type mood int

const (
	healthy mood = iota
	busy         // 429 to every request
	half         // 429 for every second record, or request if the protocol has no verdicts by record
	mute         // reads requests, and never answers
)

// server is the backend of one day. It speaks the protocols of all collectors, and records which lines it has taken.
type server struct {
	address string

	mu    sync.Mutex
	taken verify.Numbers
	last  time.Time // when the last new line arrived
	mood  mood
	turn  int
	freed chan struct{} // closed to end mute requests
	http  *http.Server
}

func newServer(port int) *server {
	return &server{address: fmt.Sprintf("127.0.0.1:%d", port), freed: make(chan struct{})}
}

// up starts listening.
func (s *server) up() error {
	mux := http.NewServeMux()
	pod.Handle(mux)
	mux.HandleFunc("/_bulk", s.bulk)
	mux.HandleFunc("/{index}/_bulk", s.bulk)
	mux.HandleFunc("POST /v1/logs", s.otlp)
	mux.HandleFunc("POST /insert/jsonline", s.jsonLines)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"name":"bench","cluster_name":"bench","version":{"number":"8.15.0"},"tagline":"You Know, for Search"}`)
	})
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		return err
	}
	s.http = &http.Server{Handler: mux}
	go func() { _ = s.http.Serve(l) }()
	return nil
}

// down ends all connections and refuses new ones.
func (s *server) down() { _ = s.http.Close() }

// feel changes the mood. Requests that a mute server has read are never answered: their connections end.
func (s *server) feel(m mood) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mood == mute && m != mute {
		close(s.freed)
		s.freed = make(chan struct{})
	}
	s.mood = m
}

// arrived returns how many different lines have arrived, and when the last of them did.
func (s *server) arrived() (lines int, last time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken.Distinct, s.last
}

// await waits until that many lines have arrived, ctx ends, or none has arrived for the duration stall.
func (s *server) await(ctx context.Context, lines int, stall time.Duration) {
	begun := time.Now()
	for ctx.Err() == nil {
		n, last := s.arrived()
		if last.Before(begun) {
			last = begun
		}
		if n >= lines || time.Since(last) > stall {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// take records a line. The caller holds mu.
func (s *server) take(n int) {
	if n < 0 || n >= maxLines {
		return
	}
	before := s.taken.Distinct
	if s.taken.Add(n); s.taken.Distinct > before {
		s.last = time.Now()
	}
}

// body reads a request; ok is false if it was already answered.
func (s *server) body(w http.ResponseWriter, r *http.Request) (body []byte, ok bool) {
	var in io.Reader = r.Body
	var err error
	switch r.Header.Get("Content-Encoding") {
	case "gzip":
		in, err = gzip.NewReader(r.Body)
	case "zstd":
		in, err = zstd.NewReader(r.Body)
	}
	if err == nil {
		body, err = io.ReadAll(in)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return nil, false
	}
	s.mu.Lock()
	m, freed := s.mood, s.freed
	s.mu.Unlock()
	switch m {
	case busy:
		http.Error(w, `{"error":{"type":"es_rejected_execution_exception","reason":"busy"},"status":429}`, http.StatusTooManyRequests)
		return nil, false
	case mute:
		select {
		case <-freed:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	}
	return body, true
}

// every2nd reports whether to answer busy this time. The caller holds mu.
func (s *server) every2nd() bool {
	s.turn++
	return s.mood == half && s.turn%2 == 0
}

// bulk is Elasticsearch's bulk API, with a verdict for each record. The index forbidden refuses all.
func (s *server) bulk(w http.ResponseWriter, r *http.Request) {
	body, ok := s.body(w, r)
	if !ok {
		return
	}
	w.Header().Set("X-Elastic-Product", "Elasticsearch")
	w.Header().Set("Content-Type", "application/json")
	s.mu.Lock()
	defer s.mu.Unlock()
	var items strings.Builder
	failed := false
	for len(body) > 0 {
		action, rest, _ := bytes.Cut(body, []byte{'\n'})
		if len(action) == 0 { // rsyslog sends empty lines
			body = rest
			continue
		}
		document, rest, _ := bytes.Cut(rest, []byte{'\n'})
		body = rest
		verb := "create"
		if bytes.HasPrefix(action, []byte(`{"index"`)) {
			verb = "index"
		}
		status, reason := 201, ""
		switch {
		case r.PathValue("index") == forbiddenIndex || bytes.Contains(action, []byte(`"`+forbiddenIndex+`"`)):
			status, reason = 403, `,"error":{"type":"security_exception","reason":"action is unauthorized"}`
		case s.every2nd():
			status, reason = 429, `,"error":{"type":"es_rejected_execution_exception","reason":"busy"}`
		default:
			s.take(number(document))
		}
		failed = failed || status != 201
		if items.Len() > 0 {
			items.WriteByte(',')
		}
		fmt.Fprintf(&items, `{%q:{"_index":"bench","_id":"x","status":%d%s}}`, verb, status, reason)
	}
	fmt.Fprintf(w, `{"took":1,"errors":%t,"items":[%s]}`, failed, items.String())
}

func (s *server) otlp(w http.ResponseWriter, r *http.Request) {
	s.marks(w, r, `{"partialSuccess":{}}`)
}

func (s *server) jsonLines(w http.ResponseWriter, r *http.Request) { s.marks(w, r, "") }

// marks receives a body about which it only knows that each line holds its number.
func (s *server) marks(w http.ResponseWriter, r *http.Request, answer string) {
	body, ok := s.body(w, r)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.every2nd() {
		http.Error(w, "busy", http.StatusTooManyRequests)
		return
	}
	for {
		at := bytes.Index(body, []byte(marker))
		if at < 0 {
			break
		}
		end := min(at+len(marker)+10, len(body))
		s.take(number(body[at:end]))
		body = body[end:]
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, answer)
}

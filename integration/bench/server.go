// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/remora-logs/remora/integration/bench/pod"
)

// server receives what collectors deliver by any of their protocols, checks that each line arrives once, and discards it.
type server struct {
	mu    sync.Mutex
	seen  *seen
	bytes int64
	last  time.Time // when the last new line arrived
}

// stats is what the server reports on /stats.
type stats struct {
	Lines, Again, Odd int
	Bytes             int64
	Last              time.Time
}

// serve answers on address until the process ends and, if wire names one of wires, by that protocol wirePort ports above.
func serve(address, wire string, lines int) error {
	s := &server{seen: newSeen(lines)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stats", s.stats)
	mux.HandleFunc("/_bulk", s.bulk)
	mux.HandleFunc("/{index}/_bulk", s.bulk)
	mux.HandleFunc("POST /v1/logs", s.otlp)
	mux.HandleFunc("POST /insert/jsonline", s.jsonLines)
	mux.HandleFunc("POST /discard", s.discard)
	pod.Handle(mux)
	mux.HandleFunc("POST /services/collector/event", s.splunk)
	mux.HandleFunc("POST /logstores/{store}/shards/lb", s.sls)
	mux.HandleFunc("GET /version", engine)
	mux.HandleFunc("GET "+engineAPI+"/containers/json", engineContainers)
	mux.HandleFunc("GET "+engineAPI+"/containers/{id}/json", engineContainer)
	mux.HandleFunc("GET "+engineAPI+"/events", engineEvents)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		product(w)
		fmt.Fprint(w, `{"name":"bench","cluster_name":"bench","version":{"number":"8.15.0"},"tagline":"You Know, for Search"}`)
	})
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	if read := wires[wire]; read != nil {
		on := *l.Addr().(*net.TCPAddr)
		on.Port += wirePort
		w, err := net.ListenTCP("tcp", &on)
		if err != nil {
			return err
		}
		go s.serveWire(w, read)
	}
	return http.Serve(l, mux)
}

// wirePort is how far above the server's own port the port for protocols other than HTTP is.
const wirePort = 2

func product(w http.ResponseWriter) {
	w.Header().Set("X-Elastic-Product", "Elasticsearch")
	w.Header().Set("Content-Type", "application/json")
}

func (s *server) stats(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = json.NewEncoder(w).Encode(stats{s.seen.lines, s.seen.again, s.seen.odd, s.bytes, s.last})
}

var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// receive reads a request's body and passes it to take, or answers an error. take owns the body until it returns.
func (s *server) receive(w http.ResponseWriter, r *http.Request, take func(body []byte)) {
	body := bodies.Get().(*bytes.Buffer)
	defer bodies.Put(body)
	body.Reset()
	in, err := decompressed(r)
	if err == nil {
		_, err = body.ReadFrom(in)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	take(body.Bytes())
}

// count records the lines that each finds in a body.
func (s *server) count(body []byte, each func(body []byte, line func(n int))) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes += int64(len(body))
	before := s.seen.lines
	each(body, s.seen.add)
	if s.seen.lines > before {
		s.last = time.Now()
	}
}

func decompressed(r *http.Request) (io.Reader, error) {
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "":
		return r.Body, nil
	case "gzip":
		return gzip.NewReader(r.Body)
	case "zstd":
		return zstd.NewReader(r.Body)
	default:
		return nil, fmt.Errorf("content encoding %s", strconv.Quote(encoding))
	}
}

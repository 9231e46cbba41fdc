package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// server speaks Elasticsearch's bulk API, checks that each line comes once, and throws it away.
type server struct {
	mu    sync.Mutex
	seen  *seen
	bytes int64
	last  time.Time // when a line came that had not come before
}

// stats is what the server tells of itself on /stats.
type stats struct {
	Lines, Again, Odd int
	Bytes             int64
	Last              time.Time
}

// serve answers on address until the process ends.
func serve(address string, lines int) error {
	s := &server{seen: newSeen(lines)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stats", s.stats)
	mux.HandleFunc("/_bulk", s.bulk)
	mux.HandleFunc("/{index}/_bulk", s.bulk)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		product(w)
		fmt.Fprint(w, `{"name":"bench","cluster_name":"bench","version":{"number":"8.15.0"},"tagline":"You Know, for Search"}`)
	})
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return http.Serve(l, mux)
}

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

func (s *server) bulk(w http.ResponseWriter, r *http.Request) {
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
	action, docs := s.take(body.Bytes())
	product(w)
	// What isn't asked for isn't sent, as filter_path has it; without it there is a verdict an item.
	if filter := r.URL.Query().Get("filter_path"); filter != "" && !strings.Contains(filter, "items,") && strings.Contains(filter, "errors") {
		fmt.Fprint(w, `{"errors":false`)
		if strings.Contains(filter, "items.*.status") {
			items(w, docs, `{"`+action+`":{"status":201}}`)
		}
		fmt.Fprint(w, `}`)
		return
	}
	fmt.Fprint(w, `{"took":1,"errors":false`)
	items(w, docs, `{"`+action+`":{"_index":"bench","_id":"x","_version":1,"result":"created","_shards":{"total":2,"successful":1,"failed":0},"_seq_no":1,"_primary_term":1,"status":201}}`)
	fmt.Fprint(w, `}`)
}

func items(w io.Writer, n int, item string) {
	var b bytes.Buffer
	b.WriteString(`,"items":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(item)
	}
	b.WriteString("]")
	_, _ = w.Write(b.Bytes()) // the client counts
}

// take counts the documents: every second line, behind its action.
func (s *server) take(body []byte) (action string, docs int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes += int64(len(body))
	before := s.seen.lines
	action = "create"
	if bytes.HasPrefix(body, []byte(`{"index"`)) {
		action = "index"
	}
	for isAction := true; len(body) > 0; isAction = !isAction {
		end := bytes.IndexByte(body, '\n')
		if end < 0 {
			end = len(body) - 1
		}
		if end == 0 { // an empty line, as rsyslog sends behind a list template
			body, isAction = body[1:], !isAction
			continue
		}
		if !isAction {
			s.seen.add(number(body[:end]))
			docs++
		}
		body = body[end+1:]
	}
	if s.seen.lines > before {
		s.last = time.Now()
	}
	return action, docs
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

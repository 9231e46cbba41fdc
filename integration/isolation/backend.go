// SPDX-License-Identifier: Apache-2.0

// Package isolation proves that nobody harms another. Strangers share one process of Remora: twenty that write what anybody
// writes, and beside them one of each kind that declares, writes or is refused the worst that is known. The twenty must not
// notice.
package isolation

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/verify"
)

// backend is an Elasticsearch that has an opinion of each index: it takes what goes to most and answers the items of others
// with an error, until they are mended.
type backend struct {
	address string

	mu       sync.Mutex
	verdicts map[string]verdict // by how an index begins
	names    map[string]*arrivals
	errors   []string // requests that could not be understood
}

// verdict is what a bulk request's item is answered with; see Elasticsearch's reference, "Bulk API", and the exceptions'
// classes for their HTTP status.
type verdict struct {
	status       int
	kind, reason string
}

// arrivals is what came of one writer's numbered lines.
type arrivals struct {
	verify.Numbers
	// delays are the times from a line's writing to its arrival; only of lines that bear a stamp.
	delays []time.Duration
	// bytes is the size of all documents.
	bytes int64
	// longest is the size of the largest document.
	longest int
}

func newBackend(t *testing.T, verdicts map[string]verdict) *backend {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{address: l.Addr().String(), verdicts: verdicts, names: map[string]*arrivals{}}
	server := &http.Server{Handler: b, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		for _, e := range b.errors {
			t.Error("the backend did not understand a request:", e)
		}
	})
	return b
}

// settings are those of a process that sends here.
func (b *backend) settings() []string {
	return []string{"LOGGING_OUTPUT=elasticsearch", "ELASTICSEARCH_HOSTS=http://" + b.address}
}

// mend lets all indices take what they are sent.
func (b *backend) mend() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.verdicts = nil
}

// of returns a copy of what arrived of a writer's lines.
func (b *backend) of(name string) arrivals {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a := b.names[name]; a != nil {
		return *a
	}
	return arrivals{}
}

// missing is how many of a writer's lines have not arrived.
func (b *backend) missing(name string, want int) (missing int, holes string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.names[name]
	if a == nil {
		return want, "all"
	}
	return a.Missing(want), a.Holes(want)
}

// ServeHTTP implements the few calls that a bulk client makes.
func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Elastic-Product", "Elasticsearch")
	w.Header().Set("Content-Type", "application/json")
	if !strings.HasSuffix(r.URL.Path, "_bulk") {
		io.WriteString(w, `{"version":{"number":"8.15.0"},"tagline":"You Know, for Search"}`)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone
	}
	items, failed, err := b.bulk(strings.Trim(strings.TrimSuffix(r.URL.Path, "_bulk"), "/"), body, time.Now())
	if err != nil {
		b.mu.Lock()
		b.errors = append(b.errors, err.Error())
		b.mu.Unlock()
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, `{"took":1,"errors":%t,"items":[%s]}`, failed, strings.Join(items, ","))
}

// bulk judges each document of a request. The index is that of the request's path, unless an action names its own.
func (b *backend) bulk(index string, body []byte, now time.Time) (items []string, failed bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(body) > 0 {
		action, rest, _ := bytes.Cut(body, []byte{'\n'})
		document, rest, ok := bytes.Cut(rest, []byte{'\n'})
		if !ok {
			return nil, false, fmt.Errorf("action %.100q is without a document", action)
		}
		body = rest
		var verbs map[string]struct {
			Index string `json:"_index"`
		}
		if err := json.Unmarshal(action, &verbs); err != nil || len(verbs) != 1 {
			return nil, false, fmt.Errorf("action %.100q: %w", action, err)
		}
		for verb, a := range verbs {
			a.Index = cmp.Or(a.Index, index)
			if v, ok := b.verdict(a.Index); ok {
				failed = true
				items = append(items, fmt.Sprintf(`{%q:{"_index":%q,"status":%d,"error":{"type":%q,"reason":%q}}}`,
					verb, a.Index, v.status, v.kind, v.reason))
				continue
			}
			items = append(items, fmt.Sprintf(`{%q:{"_index":%q,"status":201,"result":"created"}}`, verb, a.Index))
			b.take(document, now)
		}
	}
	return items, failed, nil
}

func (b *backend) verdict(index string) (verdict, bool) {
	for prefix, v := range b.verdicts {
		if strings.HasPrefix(index, prefix) {
			return v, true
		}
	}
	return verdict{}, false
}

// take notes a document's arrival. It looks for the beginning of the message alone: the machine's processors are for the
// process that is tested, and some documents have a megabyte.
func (b *backend) take(document []byte, now time.Time) {
	_, message, ok := bytes.Cut(document, []byte(`"message":"`))
	if !ok {
		return
	}
	words := strings.SplitN(string(message[:min(len(message), 100)]), " ", 4)
	if len(words) < 2 {
		return
	}
	n, err := strconv.Atoi(words[1])
	if err != nil || n < 0 {
		return
	}
	a := b.names[words[0]]
	if a == nil {
		a = new(arrivals)
		b.names[words[0]] = a
	}
	a.Add(n)
	a.bytes += int64(len(document))
	a.longest = max(a.longest, len(document))
	if len(words) < 3 {
		return
	}
	if stamp, err := strconv.ParseInt(words[2], 10, 64); err == nil {
		a.delays = append(a.delays, now.Sub(time.Unix(0, stamp)))
	}
}

// percentile is the delay that a share of the delays of these writers stays below.
func (b *backend) percentile(share float64, names ...string) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []time.Duration
	for _, name := range names {
		if a := b.names[name]; a != nil {
			all = append(all, a.delays...)
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)-1, int(float64(len(all))*share))]
}

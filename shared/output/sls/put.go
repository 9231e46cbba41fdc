// SPDX-License-Identifier: Apache-2.0

package sls

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/record"
)

const (
	// maxLogs and maxBytes bound a request before compression, below all limits that the service has had.
	maxLogs, maxBytes = 4096, 3 << 20
	// maxRequests bounds the requests of one Write. Each faulty record costs about log2(n).
	maxRequests = 128
)

// delivery is one Write: the verdict on its records so far. Records that the service has taken are not noted.
type delivery struct {
	*Output
	ctx     context.Context
	records []record.Record
	encoder *encoder
	left    int // requests that may still be made
	verdict output.Partial
	failed  error // nothing more can be sent now
}

func (d *delivery) result() error {
	v := &d.verdict
	switch {
	case len(v.Retry) == len(d.records) && d.failed != nil:
		return d.failed
	case len(v.Retry)+len(v.Refused)+len(v.Blocked) == 0:
		return nil
	}
	slices.Sort(v.Retry)
	return v
}

var errNoTarget = errors.New("the record has no target, which is its logstore: declare one")

// put sends records of g in as many requests as needed, and decides about each record.
func (d *delivery) put(g *group, index []int) {
	if g.logstore == "" {
		d.block(index, errNoTarget, 0)
		return
	}
	for len(index) > 0 {
		if d.failed != nil || d.left == 0 {
			d.retry(index, d.failed)
			return
		}
		d.left--
		n, answer, err := d.request(g, index)
		if err != nil {
			d.judge(g, index[:n], answer, err)
		}
		index = index[n:]
	}
}

// request sends as many records of g as go into a request. It returns their number and, if the service does not take them, its
// answer.
func (d *delivery) request(g *group, index []int) (n int, a answer, err error) {
	e := d.encoder
	e.body = e.body[:0]
	for n < len(index) && n < maxLogs && len(e.body) < maxBytes {
		e.body = e.appendLog(e.body, &d.records[index[n]])
		n++
	}
	e.body = appendGroup(e.body, g)
	packed, codec, err := e.compress(e.body, d.config.Compression)
	if err != nil {
		return n, a, err
	}
	header := http.Header{"X-Log-Bodyrawsize": {strconv.Itoa(len(e.body))}}
	if codec != "" {
		header.Set("X-Log-Compresstype", codec)
	}
	a, err = g.project.post(d.ctx, "/logstores/"+url.PathEscape(g.logstore)+"/shards/lb", "application/x-protobuf", packed, header)
	return n, a, err
}

// answer is the service's answer to a request that it does not take.
type answer struct {
	Code    string `json:"errorCode"`
	Message string `json:"errorMessage"`
	tooBig  bool
}

// post posts body. With an error it returns the service's answer, if the error is from the service.
func (p *project) post(ctx context.Context, path, kind string, body []byte, header http.Header) (a answer, err error) {
	buffer := p.client.Buffer()
	defer p.client.Release(buffer)
	buffer.Bytes = append(buffer.Bytes, body...)
	u := *p.url
	u.RawPath = path
	if u.Path, err = url.PathUnescape(path); err != nil {
		return a, err
	}
	r, end, err := p.client.PostWith(ctx, &u, kind, buffer, header)
	defer end()
	if err != nil {
		return a, err
	}
	if r.Status == http.StatusOK {
		r.Discard()
		return a, nil
	}
	_ = json.Unmarshal(r.Peek(16<<10), &a) // if it is not JSON, Verdict quotes it
	a.tooBig = r.Status == http.StatusRequestEntityTooLarge || a.Code == "PostBodyTooLarge"
	err = r.Verdict()
	if id := r.Header.Get("X-Log-Requestid"); id != "" {
		err = fmt.Errorf("%w (request %s)", err, web.Quote([]byte(id)))
	}
	return a, err
}

// refusals holds the codes by which the service objects to the content of a request.
var refusals = []string{
	"InvalidTimestamp", "InvalidEncoding", "InvalidKey", "PostBodyInvalid", "ParameterInvalid", "InvalidParameter",
	"PostBodyUncompressError", "InvalidLogSize",
}

// judge decides about records of g, none of which the service has taken.
func (d *delivery) judge(g *group, index []int, a answer, cause error) {
	switch {
	case a.tooBig, slices.Contains(refusals, a.Code):
		if len(index) == 1 {
			d.refuse(index[0], cause)
			return
		}
		d.put(g, index[:len(index)/2])
		d.put(g, index[len(index)/2:])
	case a.Code == "LogStoreNotExist" && d.config.Create:
		if err := d.create(d.ctx, g); err != nil {
			cause = fmt.Errorf("creating logstore %s: %w", g.logstore, err)
		}
		d.block(index, cause, afterCreation)
	case a.Code == "ShardWriteQuotaExceed":
		d.block(index, cause, afterQuota)
	case strings.HasPrefix(a.Code, "LogStore"), a.Code == "Unauthorized" && strings.Contains(a.Message, "denied"):
		// Missing, without shards, with an impossible name, or not ours to write to: an operator has to mend it.
		d.block(index, cause, 0)
	case a.Code == "WriteQuotaExceed", a.Code == "ExceedQuota", a.Code == "ServerBusy": // of the project
		d.fail(index, &output.Throttled{After: afterQuota, Cause: cause})
	default:
		d.fail(index, cause)
	}
}

const (
	// A new logstore can be written to within a minute of its creation.
	afterCreation = 10 * time.Second
	// Quotas are counted per second.
	afterQuota = time.Second
)

// missing holds the logstores that were created in the last minute.
type missing struct {
	mu      sync.Mutex
	created map[string]time.Time // by project/logstore
}

// maxCreated bounds the logstores created in a minute, because containers declare their names.
const maxCreated = 100

// create creates the logstore of g, at most once a minute. It applies the log's own settings: any number of shards that a log
// may declare, and at most the output's number of days.
func (o *Output) create(ctx context.Context, g *group) error {
	logstore := g.project.name + "/" + g.logstore
	m := &o.missing
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for name, at := range m.created {
		if now.Sub(at) > time.Minute {
			delete(m.created, name)
		}
	}
	if _, tried := m.created[logstore]; tried {
		return nil
	}
	if len(m.created) >= maxCreated {
		return fmt.Errorf("%d were created in a minute, which is enough", maxCreated)
	}
	if m.created == nil {
		m.created = make(map[string]time.Time)
	}
	m.created[logstore] = now
	ttl, shards := o.config.TTL, cmp.Or(g.source.Store.Shards, o.config.Shards)
	if wanted := g.source.Store.TTL; wanted > 0 {
		ttl = min(ttl, wanted)
	}
	body, err := json.Marshal(map[string]any{"logstoreName": g.logstore, "ttl": ttl, "shardCount": shards})
	if err != nil {
		return err
	}
	a, err := g.project.post(ctx, "/logstores", "application/json", body, http.Header{"X-Log-Bodyrawsize": {strconv.Itoa(len(body))}})
	if a.Code == "LogStoreAlreadyExist" {
		return nil
	}
	return err
}

// fail notes that nothing more can be sent now.
func (d *delivery) fail(index []int, cause error) {
	d.failed = cause
	d.retry(index, cause)
}

func (d *delivery) retry(index []int, cause error) {
	d.verdict.Retry = append(d.verdict.Retry, index...)
	d.because(cause)
}

func (d *delivery) refuse(i int, cause error) {
	d.verdict.Refused = append(d.verdict.Refused, output.Refusal{Index: i, Reason: cause.Error()})
	d.because(cause)
}

func (d *delivery) block(index []int, cause error, after time.Duration) {
	for _, i := range index {
		d.verdict.Blocked = append(d.verdict.Blocked, output.Blockage{
			Index: i, Destination: string(d.AppendDestination(nil, &d.records[i])), Reason: cause.Error(), After: after,
		})
	}
	d.because(cause)
}

func (d *delivery) because(cause error) {
	if d.verdict.Cause == nil {
		d.verdict.Cause = cause
	}
}

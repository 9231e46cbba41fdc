// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/record"
)

// answerFilter limits the answer to what verdict reads.
const answerFilter = "filter_path=errors,items.*.status,items.*.error"

var now = time.Now

// Output writes to Elasticsearch.
type Output struct {
	config  Config
	pattern pattern
	nodes   *web.Nodes
	client  *web.Client
	// isolation is by log and not only by index, because containers share an index.
	isolation web.Isolation
	// server is nil until about has asked for it, before the first request.
	server atomic.Pointer[server]
	// conflicts counts the records that were stored with a field as text.
	conflicts atomic.Int64
	types     types
}

// server holds what must be known about the cluster to write to it.
type server struct {
	typed bool // requires a type besides the index, as before version 7
	// underscored means that a type may begin with _, as since 6.2.
	underscored bool
	named       bool // accepts an index in the URL; imitators know only /_bulk
}

// Open returns the output. It sends nothing to the hosts.
func Open(c Config) (*Output, error) {
	zone, err := time.LoadLocation(c.IndexZone)
	if err != nil {
		return nil, fmt.Errorf("ELASTICSEARCH_INDEX_TIME_ZONE: %w", err)
	}
	p, err := parseIndex(c.indexPattern(), zone)
	if err != nil {
		return nil, err
	}
	nodes, inURL, err := c.nodes()
	if err != nil {
		return nil, err
	}
	client, err := c.client(inURL)
	if err != nil {
		return nil, err
	}
	o := &Output{config: c, pattern: p, nodes: nodes, client: client}
	o.isolation.Destination = o.AppendDestination
	return o, nil
}

// Workers returns ELASTICSEARCH_WORKER.
func (o *Output) Workers() int { return o.config.Worker }

// Write sends b.
func (o *Output) Write(ctx context.Context, b *record.Batch) error {
	return o.isolation.Write(ctx, b, o.send)
}

// send sends b, and sends conflicting records again as text if ELASTICSEARCH_ON_CONFLICT says so.
func (o *Output) send(ctx context.Context, b *record.Batch) error {
	err := o.writeAll(ctx, b)
	if err != nil && o.config.OnConflict == conflictText {
		return o.resendConflicts(ctx, b, err)
	}
	return err
}

// writeAll sends b in requests of at most ELASTICSEARCH_BULK_MAX_SIZE records.
func (o *Output) writeAll(ctx context.Context, b *record.Batch) error {
	size := len(b.Records)
	if o.config.BulkMaxSize > 0 {
		size = min(size, o.config.BulkMaxSize)
	}
	if size == len(b.Records) {
		return o.write(ctx, b)
	}
	var all output.Partial
	for at := 0; at < len(b.Records); at += size {
		part := record.Batch{Records: b.Records[at:min(at+size, len(b.Records))]}
		err := o.write(ctx, &part)
		var partial *output.Partial
		switch {
		case errors.As(err, &partial):
			merge(&all, partial, at)
		case err != nil && at == 0:
			return err
		case err != nil: // the requests before were answered
			rest := &output.Partial{Cause: err}
			for i := range b.Records[at:] {
				rest.Retry = append(rest.Retry, i)
			}
			merge(&all, rest, at)
			return &all
		}
	}
	if all.Cause == nil {
		return nil
	}
	return &all
}

// merge adds the verdict on the records from at on to all.
func merge(all, part *output.Partial, at int) {
	for _, i := range part.Retry {
		all.Retry = append(all.Retry, at+i)
	}
	for _, r := range part.Refused {
		all.Refused = append(all.Refused, output.Refusal{Index: at + r.Index, Reason: r.Reason})
	}
	for _, b := range part.Blocked {
		b.Index += at
		all.Blocked = append(all.Blocked, b)
	}
	if all.Cause == nil {
		all.Cause = part.Cause
	}
	all.After = max(all.After, part.After)
}

// write sends b to one of the hosts. If it can't connect to one, the host can't have taken anything, and write tries the next
// at once.
func (o *Output) write(ctx context.Context, b *record.Batch) error {
	if len(b.Records) == 0 {
		return ctx.Err()
	}
	var err error
	for range o.nodes.Len() {
		node := o.nodes.Pick(now())
		if err = o.writeTo(ctx, node, b); !web.Unsent(err) {
			return err
		}
	}
	return err
}

func (o *Output) writeTo(ctx context.Context, node *web.Node, b *record.Batch) error {
	about, err := o.about(ctx, node)
	if err != nil {
		return err
	}
	types, err := o.typesOf(ctx, node, about, b)
	if err != nil {
		return err
	}
	body, release := o.body(b, about.named, types)
	defer release()
	index := body.index
	answer, end, err := o.client.Post(ctx, bulk(node, index, types[index], about), "application/x-ndjson", body.buffer)
	defer end()
	if err != nil {
		o.failed(ctx, node)
		return err
	}
	if answer.Status != http.StatusOK {
		o.types.forget(types)
		return o.reject(node, answer, index, b)
	}
	o.nodes.Worked(node)
	x := indexer{pattern: &o.pattern}
	err = verdict(answer, len(b.Records), o.config.Dedup, func(i int) string {
		return string(appendDestination(nil, x.index(&b.Records[i]), &b.Records[i]))
	})
	if err != nil { // another writer may have created an index meanwhile, with another type
		o.types.forget(types)
	}
	return err
}

// AppendDestination implements output.Addressed.
func (o *Output) AppendDestination(dst []byte, r *record.Record) []byte {
	return appendDestination(dst, o.pattern.name(r.Source, r.Time), r)
}

// appendDestination appends the name of index as the destination of r's log.
func appendDestination(dst []byte, index string, r *record.Record) []byte {
	from := len(dst)
	dst = append(append(append(dst, "index "...), index...), ", "...)
	dst = web.AppendSource(dst, r)
	return dst[:min(len(dst), from+output.MaxDestination)]
}

// shardTimeout bounds how long Elasticsearch waits for an index whose primary shard is not active. Its default of a minute
// would hold up the records of all other indices.
const shardTimeout = "5s"

// bulk returns the URL of the bulk API, for index and its type if they are not empty.
func bulk(node *web.Node, index, kind string, about *server) *url.URL {
	u := *node.URL
	if index != "" {
		u.Path += "/" + index
		if kind != "" {
			u.Path += "/" + kind
		}
	}
	u.Path += "/_bulk"
	parameters := make([]string, 0, 3)
	if u.RawQuery != "" {
		parameters = append(parameters, u.RawQuery)
	}
	if about.named && !u.Query().Has("timeout") {
		parameters = append(parameters, "timeout="+shardTimeout)
	}
	u.RawQuery = strings.Join(append(parameters, answerFilter), "&")
	return &u
}

// failed rests node, unless ctx has ended.
func (o *Output) failed(ctx context.Context, node *web.Node) {
	if ctx.Err() == nil {
		o.nodes.Failed(node, now())
	}
}

// reject returns the verdict on the whole request for b. Only Elasticsearch's own 400 means that it objects to the content; a
// proxy's says nothing about the records. An error about the index in the URL concerns only its records.
func (o *Output) reject(node *web.Node, r *web.Response, index string, b *record.Batch) error {
	if r.Status >= 500 || r.Status == http.StatusTooManyRequests {
		o.nodes.Failed(node, now())
	} else {
		o.nodes.Worked(node)
	}
	if err := blockedAsWhole(r, index, b); err != nil {
		return err
	}
	if r.Status != http.StatusBadRequest {
		return r.Verdict()
	}
	o.server.Store(nil) // it may have been upgraded to a version without types
	head := r.Peek(4096)
	if bytes.Contains(head, []byte(`"error"`)) && bytes.Contains(head, []byte(`"type"`)) {
		return r.Verdict(http.StatusBadRequest)
	}
	return r.Verdict()
}

// blockedAsWhole returns a verdict if the answer is an error about index, the only one of the request. It returns nil if index
// is empty.
func blockedAsWhole(r *web.Response, index string, b *record.Batch) error {
	if index == "" || r.Status < 400 || r.Status == http.StatusUnauthorized || r.Status == http.StatusTooManyRequests {
		return nil
	}
	var answer struct{ Error reason }
	if json.Unmarshal(r.Peek(4096), &answer) != nil || answer.Error.Type == "" ||
		classify(r.Status, answer.Error.Type, answer.Error.Reason) != blocked {
		return nil
	}
	err := &output.Partial{Cause: r.Errorf("%s", answer.Error.text(r.Status))}
	after := web.RetryAfter(r.Header, now())
	r.Discard()
	for i := range b.Records {
		err.Blocked = append(err.Blocked, output.Blockage{
			Index: i, Destination: string(appendDestination(nil, index, &b.Records[i])), Reason: err.Cause.Error(), After: after,
		})
	}
	return err
}

// about asks the server for its version, once. A server that does not tell is taken for a recent one.
func (o *Output) about(ctx context.Context, node *web.Node) (*server, error) {
	if known := o.server.Load(); known != nil {
		return known, nil
	}
	u := *node.URL
	u.Path += "/"
	answer, end, err := o.client.Get(ctx, &u)
	defer end()
	if err != nil {
		o.failed(ctx, node)
		return nil, err
	}
	if answer.Status >= 500 || answer.Status == http.StatusTooManyRequests || answer.Status == http.StatusUnauthorized {
		o.nodes.Failed(node, now())
		return nil, answer.Verdict()
	}
	var info struct {
		Tagline string
		Version struct{ Number, Distribution string }
	}
	err = json.NewDecoder(io.LimitReader(answer.Body, 64<<10)).Decode(&info)
	answer.Discard()
	found := new(server)
	if err == nil && answer.Status == http.StatusOK {
		first, rest, _ := strings.Cut(info.Version.Number, ".")
		major, err := strconv.Atoi(first)
		found.typed = err == nil && major < 7 && info.Version.Distribution != "opensearch"
		second, _, _ := strings.Cut(rest, ".")
		minor, err := strconv.Atoi(second)
		found.underscored = err == nil && (major > 6 || major == 6 && minor >= 2)
		found.named = info.Tagline != ""
	}
	o.server.Store(found)
	return found, nil
}

// Close closes idle connections.
func (o *Output) Close() error { return o.client.Close() }

// Check asks each host for its version.
func (o *Output) Check(ctx context.Context) (saw string, err error) {
	var seen []string
	var wrong []error
	for range o.nodes.Len() {
		node := o.nodes.Pick(now())
		how, err := o.checkNode(ctx, node)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		seen = append(seen, node.URL.Host+how)
	}
	return strings.Join(seen, "; "), errors.Join(wrong...)
}

func (o *Output) checkNode(ctx context.Context, node *web.Node) (how string, err error) {
	u := *node.URL
	u.Path += "/"
	answer, end, err := o.client.Get(ctx, &u)
	defer end()
	if err != nil {
		return "", err
	}
	head := answer.Peek(64 << 10)
	if answer.Status == http.StatusForbidden && bytes.Contains(head, []byte("cluster:monitor/main")) {
		answer.Discard() // the credentials are valid, and may have the right to write
		return " lets us in, and may not tell its version", nil
	}
	if answer.Status != http.StatusOK {
		return "", answer.Verdict()
	}
	answer.Discard()
	var info struct {
		Name    string `json:"cluster_name"`
		Version struct{ Number, Distribution string }
	}
	if json.Unmarshal(head, &info) != nil || info.Version.Number == "" {
		return " answers", nil
	}
	return fmt.Sprintf(" is %s %q, cluster %q", cmp.Or(info.Version.Distribution, "elasticsearch"), info.Version.Number, info.Name), nil
}

// SPDX-License-Identifier: Apache-2.0

package splunk

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/template"
	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/record"
)

const (
	// maxRequest is the approximate size of a request before compression. Splunk Cloud accepts 1 MB.
	maxRequest = 1 << 20
	// maxRequests bounds the requests of one Write. Each faulty event costs one.
	maxRequests = 64
)

// Output posts to the event collector.
type Output struct {
	config      Config
	index       template.Template
	client      *web.Client
	events, ack *url.URL
	isolation   web.Isolation
	encoders    sync.Pool // of *encoder
	firstPoll   time.Duration
}

// Open returns the output. It sends nothing to the server.
func Open(c Config) (*Output, error) {
	client, u, err := c.client()
	if err != nil {
		return nil, err
	}
	e, err := newEncoder(&c)
	if err != nil {
		return nil, err
	}
	o := &Output{config: c, index: e.index, client: client, events: below(u, "/services/collector/event"), firstPoll: firstPoll}
	if c.Ack { // acknowledgements are counted per channel, which all requests name
		channel := url.Values{"channel": {newChannel()}}.Encode()
		o.events.RawQuery = channel
		o.ack = below(u, "/services/collector/ack")
		o.ack.RawQuery = channel
	}
	o.isolation.Destination = o.AppendDestination
	o.encoders.New = func() any {
		e, _ := newEncoder(&c) // it can't fail: it has succeeded above
		return e
	}
	return o, nil
}

func below(u *url.URL, path string) *url.URL {
	to := *u
	to.Path += path
	return &to
}

// newChannel returns a random UUID (version 4, RFC 9562).
func newChannel() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Write posts b in requests of about a mebibyte, and with SPLUNK_ACK waits until it is indexed.
func (o *Output) Write(ctx context.Context, b *record.Batch) error {
	if len(b.Records) == 0 {
		return ctx.Err()
	}
	return o.isolation.Write(ctx, b, o.send)
}

// delivery is one Write: the verdict on its records so far. Records that the collector has taken are not noted.
type delivery struct {
	*Output
	ctx     context.Context
	records []record.Record
	left    int // requests that may still be made
	verdict output.Partial
	acks    map[int64]bool // not acknowledged yet
	failed  error          // nothing more can be sent now
}

func (o *Output) send(ctx context.Context, b *record.Batch) error {
	d := &delivery{Output: o, ctx: ctx, records: b.Records, left: maxRequests, acks: make(map[int64]bool)}
	d.post(0, len(b.Records), maxRequest)
	if len(d.acks) > 0 {
		if err := o.await(ctx, d.acks); err != nil {
			return err // no matter which of the requests: all records may be sent again
		}
	}
	v := &d.verdict
	switch {
	case len(v.Retry) == len(b.Records) && d.failed != nil:
		return d.failed
	case len(v.Retry)+len(v.Refused)+len(v.Blocked) == 0:
		return nil
	}
	slices.Sort(v.Retry)
	return v
}

// post sends the records from at to end in requests of about size bytes, and decides about each.
func (d *delivery) post(at, end, size int) {
	for at < end {
		if d.failed != nil || d.left == 0 {
			d.retry(at, end, d.failed)
			return
		}
		d.left--
		at = d.request(at, end, size)
	}
}

// request sends records from at on, and returns the first that is not decided.
func (d *delivery) request(at, end, size int) int {
	buffer := d.client.Buffer()
	defer d.client.Release(buffer)
	e := d.encoders.Get().(*encoder)
	to, written := at, 0
	for ; to < end && written < size; to++ {
		before := len(buffer.Bytes)
		buffer.Bytes = e.appendEvent(buffer.Bytes, &d.records[to])
		written += len(buffer.Bytes) - before
		buffer.Pack()
	}
	d.encoders.Put(e)
	r, done, err := d.client.Post(d.ctx, d.events, "application/json", buffer)
	defer done()
	if err != nil {
		return d.fail(at, to, err)
	}
	a, err := readAnswer(r)
	switch {
	case r.Status == http.StatusRequestEntityTooLarge || err == nil && web.TooLarge(a.Text):
		r.Discard()
		if to-at == 1 {
			d.refuse(at, r.Errorf("the event is too large"))
			return to
		}
		half := (at + to) / 2
		d.post(at, half, size)
		d.post(half, to, size)
		return to
	case err != nil && r.Status != http.StatusOK:
		return d.fail(at, to, r.Verdict())
	case err != nil:
		r.Discard()
		return d.fail(at, to, &web.Suspect{Cause: err}) // some firewalls refuse with 200
	}
	return d.judge(r, &a, at, to)
}

// judge decides about the records from at to to by the collector's answer.
func (d *delivery) judge(r *web.Response, a *answer, at, to int) int {
	if a.AckID != nil && d.config.Ack {
		d.acks[*a.AckID] = true
	}
	if a.Code == codeSuccess {
		r.Discard()
		if a.AckID == nil && d.config.Ack {
			return d.fail(at, to, r.Errorf("%w", errNoAck))
		}
		return to
	}
	cause := r.Verdict()
	bad := -1
	if a.Invalid != nil && *a.Invalid >= 0 && *a.Invalid < to-at {
		bad = at + *a.Invalid
	} else if to-at == 1 {
		bad = at
	}
	switch {
	case a.faulty() && bad >= 0:
		d.refuse(bad, cause)
		return bad + 1
	case a.Code == codeIncorrectIndex && bad >= 0 && !d.index.Fixed():
		d.block(bad, cause)
		return bad + 1
	case a.faulty() || a.Code == codeIncorrectIndex && !d.index.Fixed(): // the answer does not say which
		half := (at + to) / 2
		d.post(at, half, maxRequest)
		d.post(half, to, maxRequest)
		return to
	case bad > at: // busy, within the request
		return d.fail(bad, to, cause)
	}
	return d.fail(at, to, cause)
}

// fail notes that nothing more can be sent now, so that the records from at to to are sent again.
func (d *delivery) fail(at, to int, cause error) int {
	d.failed = cause
	d.retry(at, to, cause)
	return to
}

func (d *delivery) retry(at, to int, cause error) {
	for i := at; i < to; i++ {
		d.verdict.Retry = append(d.verdict.Retry, i)
	}
	d.because(cause)
}

func (d *delivery) refuse(i int, cause error) {
	d.verdict.Refused = append(d.verdict.Refused, output.Refusal{Index: i, Reason: cause.Error()})
	d.because(cause)
}

// block notes a record whose index the token may not write to, which holds for all records of that index.
func (d *delivery) block(i int, cause error) {
	d.verdict.Blocked = append(d.verdict.Blocked, output.Blockage{
		Index: i, Destination: string(d.AppendDestination(nil, &d.records[i])), Reason: cause.Error(),
	})
	d.because(cause)
}

func (d *delivery) because(cause error) {
	if d.verdict.Cause == nil {
		d.verdict.Cause = cause
	}
}

const firstPoll, longestPoll = time.Second, 10 * time.Second

// await polls until all requests are acknowledged. The timeout may end a pause or a poll; the error is the same.
func (o *Output) await(ctx context.Context, waiting map[int64]bool) error {
	timed, cancel := context.WithTimeout(ctx, o.config.AckTimeout)
	defer cancel()
	for pause := o.firstPoll; ; pause = min(2*pause, longestPoll) {
		var err error
		select {
		case <-time.After(pause):
			err = o.poll(timed, waiting)
		case <-timed.Done():
		}
		switch {
		case err == nil && len(waiting) == 0:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%s: %d requests are not known to be indexed: %w", o.ack.Host, len(waiting), ctx.Err())
		case timed.Err() != nil:
			return fmt.Errorf("%s: %d requests are not indexed after %v", o.ack.Host, len(waiting), o.config.AckTimeout)
		case err != nil:
			return err
		}
	}
}

// poll asks once. The collector reports an acknowledgement once, and then forgets it.
func (o *Output) poll(ctx context.Context, waiting map[int64]bool) error {
	ask, err := json.Marshal(map[string][]int64{"acks": slices.Sorted(maps.Keys(waiting))})
	if err != nil {
		return err
	}
	buffer := o.client.Buffer()
	defer o.client.Release(buffer)
	buffer.Bytes = append(buffer.Bytes, ask...)
	r, done, err := o.client.Post(ctx, o.ack, "application/json", buffer)
	defer done()
	if err != nil {
		return err
	}
	if r.Status != http.StatusOK {
		return errors.Join(r.Verdict())
	}
	defer r.Discard()
	return readAcks(r, waiting)
}

// AppendDestination implements output.Addressed. It is the index if records have different ones.
func (o *Output) AppendDestination(dst []byte, r *record.Record) []byte {
	if o.index.Fixed() {
		return web.AppendSource(dst, r)
	}
	from := len(dst)
	dst = o.index.Append(append(dst, "index "...), r.Source, nil)
	return dst[:min(len(dst), from+output.MaxDestination)]
}

// Close closes idle connections.
func (o *Output) Close() error { return o.client.Close() }

// Check posts no event: the collector checks the token before it objects that there is none.
func (o *Output) Check(ctx context.Context) (saw string, err error) {
	buffer := o.client.Buffer()
	defer o.client.Release(buffer)
	r, done, err := o.client.Post(ctx, o.events, "application/json", buffer)
	defer done()
	if err != nil {
		return "", err
	}
	a, err := readAnswer(r)
	switch {
	case r.Status == http.StatusOK || r.Status == http.StatusBadRequest && err == nil && (a.Code == codeNoData || a.faulty()):
		r.Discard()
		return o.events.Host + " takes the token", nil
	case err != nil && r.Status == http.StatusBadRequest:
		r.Discard()
		return "", err
	}
	return "", r.Verdict()
}

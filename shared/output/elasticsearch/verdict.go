// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/web"
)

// maxAnswer bounds how much of an answer is read, in bytes: some 30,000 items, each with a long reason.
const maxAnswer = 128 << 20

// item is the verdict on one record: the value of "create".
type item struct {
	Status int             `json:"status"`
	Error  json.RawMessage `json:"error"`
}

// reason is an item's error. Before version 2 it was a string, as it still is from proxies and imitators.
type reason struct {
	Type   string `json:"type"`
	Reason string `json:"reason"`
	Cause  struct {
		Reason string `json:"reason"`
	} `json:"caused_by"`
}

// verdict returns the verdict on a bulk request of n records from its answer. Usually the answer says near its beginning that
// there were no errors, and then its items are not decoded.
func verdict(r *web.Response, n int, dedup bool, destination func(i int) string) error {
	defer r.Discard()
	body := io.LimitReader(r.Body, maxAnswer)
	head := make([]byte, 512)
	k, err := io.ReadFull(body, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return r.Errorf("reading the answer: %w", err)
	}
	head = head[:k]
	if errorless(head) {
		// Read the rest: a proxy that died in the middle of the answer must not be taken for success.
		if _, err := io.Copy(io.Discard, body); err != nil {
			return r.Errorf("reading the answer: %w", err)
		}
		return nil
	}
	return judge(r, io.MultiReader(bytes.NewReader(head), body), n, &judgement{n: n, dedup: dedup, destination: destination})
}

// errorless reports whether an answer that begins with head says, before its items, that there were no errors.
func errorless(head []byte) bool {
	d := json.NewDecoder(bytes.NewReader(head))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return false
	}
	for {
		key, err := d.Token()
		if err != nil || key == "items" {
			return false
		}
		value, err := d.Token()
		if err != nil {
			return false
		}
		if key == "errors" {
			return value == false
		}
		if _, nested := value.(json.Delim); nested {
			return false
		}
	}
}

// judge decodes the items one by one, so that an answer of many megabytes takes no memory.
func judge(r *web.Response, body io.Reader, n int, j *judgement) error {
	d := json.NewDecoder(body)
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return &web.Suspect{Cause: r.Errorf("the answer is not one of the bulk API")} // some firewalls refuse with 200
	}
	var (
		errs  = true // unless the answer says otherwise
		items = -1
	)
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return r.Errorf("reading the answer: %w", err)
		}
		switch key {
		case "errors":
			err = d.Decode(&errs)
		case "items":
			items, err = j.items(d)
		default:
			var skip json.RawMessage
			err = d.Decode(&skip)
		}
		if err != nil {
			return r.Errorf("reading the answer: %w", err)
		}
	}
	if _, err := d.Token(); err != nil {
		return r.Errorf("reading the answer: %w", err)
	}
	switch {
	case !errs:
		return nil
	case items != n:
		return r.Errorf("the answer has verdicts on %d of %d records", max(items, 0), n)
	case len(j.partial.Retry)+len(j.partial.Refused)+len(j.partial.Blocked) == 0:
		return nil
	}
	partial := &j.partial
	partial.Cause = r.Errorf("%w", partial.Cause)
	partial.After = web.RetryAfter(r.Header, now())
	return partial
}

// judgement collects the verdicts on the records of a request.
type judgement struct {
	partial     output.Partial
	n           int // records
	dedup       bool
	destination func(i int) string // of record i
}

func (j *judgement) items(d *json.Decoder) (n int, err error) {
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return 0, errors.New("items are no list")
	}
	for ; d.More(); n++ {
		var entry map[string]item
		if err := d.Decode(&entry); err != nil {
			return n, err
		}
		for _, it := range entry { // exactly one
			if n < j.n {
				j.add(n, &it)
			}
		}
	}
	_, err = d.Token()
	return n, err
}

// add adds the verdict on record i.
func (j *judgement) add(i int, it *item) {
	if it.Status >= 200 && it.Status < 300 && len(it.Error) == 0 || it.Status == http.StatusConflict && j.dedup {
		return // a conflict means that an earlier attempt has stored the record
	}
	var why reason
	if json.Unmarshal(it.Error, &why) != nil && json.Unmarshal(it.Error, &why.Reason) != nil {
		why.Reason = string(it.Error)
	}
	text := why.text(it.Status)
	if j.partial.Cause == nil {
		j.partial.Cause = errors.New(text)
	}
	switch classify(it.Status, why.Type, why.Reason) {
	case refused:
		j.partial.Refused = append(j.partial.Refused, output.Refusal{Index: i, Reason: text})
	case blocked:
		j.partial.Blocked = append(j.partial.Blocked, output.Blockage{Index: i, Destination: j.destination(i), Reason: text})
	default:
		if len(j.partial.Retry) == 0 {
			j.partial.Cause = errors.New(text) // prefer the reason of a record to be sent again
		}
		j.partial.Retry = append(j.partial.Retry, i)
	}
}

func (why *reason) text(status int) string {
	text := fmt.Sprintf("%d %s: %s", status, why.Type, why.Reason)
	if why.Cause.Reason != "" {
		text += ": " + why.Cause.Reason
	}
	return web.Quote([]byte(text))
}

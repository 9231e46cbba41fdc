// SPDX-License-Identifier: Apache-2.0

package splunk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/remora-logs/remora/shared/output/internal/web"
)

// Codes of the collector (Splunk's "Troubleshoot HTTP Event Collector") that are about the events. For the others, the status
// decides.
const (
	codeSuccess        = 0
	codeNoData         = 5
	codeInvalidFormat  = 6
	codeIncorrectIndex = 7
	codeEventMissing   = 12
	codeEventBlank     = 13
	codeIndexedFields  = 15
)

// answer is the collector's answer to a request.
type answer struct {
	Text  string `json:"text"`
	Code  int    `json:"code"`
	AckID *int64 `json:"ackId"`
	// Invalid is the index of the event at which the collector stopped. It has taken the events before it, and none after it.
	Invalid *int `json:"invalid-event-number"`
}

// maxAnswer bounds how much of an answer is read, in bytes.
const maxAnswer = 64 << 10

// readAnswer decodes the collector's answer. An error means that the answer is not from the collector, or is a 200 with an
// error code.
func readAnswer(r *web.Response) (a answer, err error) {
	head := r.Peek(maxAnswer)
	a.Code = -1
	if err := json.Unmarshal(head, &a); err != nil || a.Code < 0 {
		return a, r.Errorf("the answer is not one of the event collector: %s", web.Quote(head))
	}
	if r.Status == http.StatusOK && a.Code != codeSuccess {
		return a, r.Errorf("%d with code %d: %s", r.Status, a.Code, web.Quote([]byte(a.Text)))
	}
	return a, nil
}

// faulty reports whether an event is at fault, and not the server, its settings or the moment.
func (a *answer) faulty() bool {
	switch a.Code {
	case codeInvalidFormat, codeEventMissing, codeEventBlank, codeIndexedFields:
		return true
	}
	return false
}

// readAcks removes from waiting the requests that are acknowledged.
func readAcks(r *web.Response, waiting map[int64]bool) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer*16))
	if err != nil {
		return r.Errorf("reading the answer: %w", err)
	}
	var said struct {
		Acks map[string]bool `json:"acks"`
	}
	if err := json.Unmarshal(body, &said); err != nil || said.Acks == nil {
		return r.Errorf("the answer is not one about acknowledgements: %s", web.Quote(body))
	}
	for text, done := range said.Acks {
		var id int64
		if _, err := fmt.Sscan(text, &id); err == nil && done {
			delete(waiting, id)
		}
	}
	return nil
}

var errNoAck = errors.New("the collector gives no ackId: indexer acknowledgement is off for the token; set SPLUNK_ACK to false")

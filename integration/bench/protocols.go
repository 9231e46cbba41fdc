// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"net/http"
)

// otlp receives OTLP's JSON, one object per request, and answers success as specified.
func (s *server) otlp(w http.ResponseWriter, r *http.Request) {
	s.receive(w, r, func(body []byte) {
		s.count(body, marks)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"partialSuccess":{}}`)
	})
}

// jsonLines receives VictoriaLogs' stream of JSON, one object per line.
func (s *server) jsonLines(w http.ResponseWriter, r *http.Request) {
	s.receive(w, r, func(body []byte) { s.count(body, marks) })
}

// marks finds each number in the body: a record has one, and nothing else has any.
func marks(body []byte, line func(n int)) {
	for {
		at := bytes.Index(body, []byte(marker))
		if at < 0 {
			return
		}
		line(number(body[at:]))
		body = body[at+len(marker):]
	}
}

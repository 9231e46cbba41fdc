// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// bulk is Elasticsearch's bulk API.
func (s *server) bulk(w http.ResponseWriter, r *http.Request) {
	s.receive(w, r, func(body []byte) {
		docs := 0
		s.count(body, func(body []byte, line func(int)) {
			documents(body, func(doc []byte) {
				line(number(doc))
				docs++
			})
		})
		action := "create"
		if bytes.HasPrefix(body, []byte(`{"index"`)) {
			action = "index"
		}
		product(w)
		answer(w, r.URL.Query().Get("filter_path"), action, docs)
	})
}

// documents calls each for every second line, which follows its action. Neither is ever empty, so it ignores empty lines,
// which rsyslog sends after a list template.
func documents(body []byte, each func(doc []byte)) {
	for isAction := true; len(body) > 0; {
		line, rest, _ := bytes.Cut(body, []byte{'\n'})
		body = rest
		if len(line) == 0 {
			continue
		}
		if !isAction {
			each(line)
		}
		isAction = !isAction
	}
}

// answer writes that every document was taken. It leaves out what filter_path does not ask for; without a filter it writes a
// verdict for each item.
func answer(w io.Writer, filter, action string, docs int) {
	if filter != "" && !strings.Contains(filter, "items,") && strings.Contains(filter, "errors") {
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

// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
)

// Record is one record as JSON.
type Record struct {
	Message   *string `json:"message"`
	Stream    string  `json:"stream"`
	Source    string  `json:"source"`
	Offset    int64   `json:"offset"`
	Time      string  `json:"@timestamp"`
	Truncated bool    `json:"truncated"`
	Remora    string  `json:"remora"`
	Records   int64   `json:"records"`
	// Raw is all of it.
	Raw json.RawMessage `json:"-"`
}

// Line is the record's message, empty where it has none.
func (r *Record) Line() string {
	if r.Message == nil {
		return ""
	}
	return *r.Message
}

// Members is all that the record has.
func (r *Record) Members(t testing.TB) map[string]any {
	t.Helper()
	m := make(map[string]any)
	if err := json.Unmarshal(r.Raw, &m); err != nil {
		t.Fatalf("%s: %v", r.Raw, err)
	}
	return m
}

// parse takes in one line of JSON. name and n are what the generator began its line with; n is -1 where the record is
// no line of the generator's.
func parse(line []byte) (r Record, name string, n int, err error) {
	r.Raw = line
	if err := json.Unmarshal(line, &r); err != nil {
		return r, "", -1, fmt.Errorf("a line is no JSON object: %w: %.200q", err, line)
	}
	words := strings.SplitN(r.Line(), " ", 3)
	if len(words) < 2 {
		return r, "", -1, nil
	}
	if n, err = strconv.Atoi(words[1]); err != nil || n < 0 {
		return r, "", -1, nil
	}
	return r, words[0], n, nil
}

// Count reads all records, one JSON object a line, and returns which of name's lines on stream are among them.
func Count(all io.Reader, name, stream string) (*Numbers, error) {
	counted := new(Numbers)
	lines := bufio.NewScanner(all)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		r, word, n, err := parse(lines.Bytes())
		if err != nil {
			return nil, err
		}
		if n >= 0 && word == name && r.Stream == stream {
			counted.Add(n)
		}
	}
	return counted, lines.Err()
}

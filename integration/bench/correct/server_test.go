// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
)

func equal(t *testing.T, got, want any) {
	t.Helper()
	if got != want {
		t.Fatalf("%v where %v is due", got, want)
	}
}

func post(t *testing.T, handle http.HandlerFunc, index string, body string) (status int, answer string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.SetPathValue("index", index)
	w := httptest.NewRecorder()
	handle(w, r)
	return w.Code, w.Body.String()
}

func documents(index string, numbers ...int) string {
	var b strings.Builder
	for _, n := range numbers {
		fmt.Fprintf(&b, "{\"create\":{\"_index\":%q}}\n{\"message\":\"xx seq_%010d\"}\n", index, n)
	}
	return b.String()
}

// What is counted is what was accepted: nothing of a busy answer, and of a bulk request only the records with 201.
func TestServerCountsWhatItAccepted(t *testing.T) {
	s := newServer(0)
	_, answer := post(t, s.bulk, "", documents("bench", 0, 1, 3, 2))
	equal(t, strings.Contains(answer, `"errors":false`), true)
	_, answer = post(t, s.bulk, "", documents(forbiddenIndex, 4))
	equal(t, strings.Contains(answer, `"status":403`), true)
	_, answer = post(t, s.bulk, forbiddenIndex, documents("", 4))
	equal(t, strings.Contains(answer, `"status":403`), true)
	s.feel(busy)
	status, _ := post(t, s.bulk, "", documents("bench", 5))
	equal(t, http.StatusTooManyRequests, status)
	s.feel(half)
	s.turn = 0
	_, answer = post(t, s.bulk, "", documents("bench", 6, 7, 0))
	equal(t, 2, strings.Count(answer, `"status":201`))
	equal(t, 1, strings.Count(answer, `"status":429`))
	equal(t, 5, s.taken.Distinct) // 0 to 3, and 6
	equal(t, 1, s.taken.Twice)    // 0
	equal(t, 1, s.taken.Disorder) // 2
	equal(t, 3, s.taken.Missing(8))
}

func TestServerCountsEveryLineOfOtherProtocols(t *testing.T) {
	s := newServer(0)
	for _, handle := range []http.HandlerFunc{s.otlp, s.jsonLines} {
		status, _ := post(t, handle, "", `{"a":"seq_0000000000"},{"a":"x seq_0000000001"},{"a":"seq_00000000"},{"a":"seq_9999999999"}`)
		equal(t, http.StatusOK, status)
	}
	equal(t, 2, s.taken.Distinct)
	equal(t, 2, s.taken.Twice)
}

// A mute server answers nobody, not even when it recovers: who waits finds the connection closed.
func TestMuteServerNeverAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(0)
		s.feel(mute)
		ended := make(chan any, 1)
		go func() {
			defer func() { ended <- recover() }()
			post(t, s.bulk, "", documents("bench", 0))
		}()
		synctest.Wait()
		equal(t, len(ended), 0)
		s.feel(healthy)
		equal(t, <-ended, any(http.ErrAbortHandler))
		equal(t, s.taken.Distinct, 0)
	})
}

func TestNumber(t *testing.T) {
	equal(t, 42, number([]byte(`{"message":"xxx seq_0000000042"}`)))
	equal(t, -1, number([]byte(`seq_00000`)))
	equal(t, -1, number([]byte(`no line`)))
}

func TestTableSaysWhoIsBetter(t *testing.T) {
	var b strings.Builder
	equal(t, report(&b, "", []result{
		{Scenario: "kills", Collector: "a"}, {Scenario: "kills", Collector: "b", LostSilently: 3, Twice: 2, Ended: true},
		{Scenario: "disk", Collector: "b", NoPart: true},
	}, map[string]string{"a": "a 1", "b": "b 2"}), nil)
	equal(t, "| scenario | a | b |\n|---|---|---|\n| kills | ✓ (0.0 s) | **3 lost**, 2 twice, ended (0.0 s) |\n| disk | | – |\n\n- a: a 1\n- b: b 2\n",
		b.String())
}

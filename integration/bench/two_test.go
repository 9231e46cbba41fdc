// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// Two outputs are compared with the mean of each alone, round by round, as far as all have results.
func TestTwoOutputsAreComparedWithTheMeanOfEachAlone(t *testing.T) {
	took := func(seconds ...int) *row {
		r := new(row)
		for _, s := range seconds {
			r.results = append(r.results, result{cpu: time.Duration(s) * time.Second})
		}
		return r
	}
	es, kafka := took(2, 4, 2), took(4, 4)
	if got, want := took(6, 5, 1).toMean([]*row{es, kafka}), []float64{1.25, 2}; !slices.Equal(got, want) {
		t.Errorf("%v instead of %v", got, want)
	}
	if got, want := took(3, 6, 4).toMean([]*row{es, es}), []float64{1.5, 1.5, 2}; !slices.Equal(got, want) {
		t.Errorf("the same output twice: %v instead of %v", got, want)
	}
	if got := took(1).toMean([]*row{es, nil}); got != nil {
		t.Errorf("%v beside what was not measured", got)
	}
}

// A run is over when each line has come at each of the servers. One that lacks a line fails it, also where another line
// came there twice.
func TestEachLineHasToComeAtBothOutputs(t *testing.T) {
	serve := func(numbers ...int) job {
		s := &server{seen: newSeen(3)}
		for _, n := range numbers {
			s.seen.add(n)
		}
		http := httptest.NewServer(http.HandlerFunc(s.stats))
		t.Cleanup(http.Close)
		return job{lines: 3, port: http.Listener.Addr().(*net.TCPAddr).Port}
	}
	whole, again, short := serve(0, 1, 2), serve(0, 1, 2, 2), serve(0, 1, 1)
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errUnfinished)
	if s, err := arrivedAtAll(ctx, collector{}, []job{whole, again}, time.Minute); err != nil || s.Again != 1 {
		t.Errorf("all came, one twice: %d, %v", s.Again, err)
	}
	for _, servers := range [][]job{{whole, short}, {short, whole}} {
		if _, err := arrivedAtAll(ctx, collector{}, servers, time.Minute); !errors.Is(err, errUnfinished) || !strings.Contains(err.Error(), "2 of 3 lines") {
			t.Errorf("a line is missing at one: %v", err)
		}
	}
}

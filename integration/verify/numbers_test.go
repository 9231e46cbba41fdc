// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// A verifier that can't find fault proves nothing: each fault that it exists for has to show.
func TestNumbersFindEachFault(t *testing.T) {
	for name, c := range map[string]struct {
		arrive                   []int
		missing, twice, disorder int
		holes                    string
	}{
		"all":                        {arrive: []int{0, 1, 2, 3}},
		"one lost":                   {arrive: []int{0, 1, 3}, missing: 1, holes: "2-2"},
		"a loss behind a duplicate":  {arrive: []int{0, 1, 1, 3}, missing: 1, twice: 1, holes: "2-2"},
		"two changed places":         {arrive: []int{0, 2, 1, 3}, disorder: 1},
		"sent again from the middle": {arrive: []int{0, 1, 2, 1, 2, 3}, twice: 2},
		"none":                       {missing: 4, holes: "0-3"},
	} {
		t.Run(name, func(t *testing.T) {
			var s Numbers
			for _, n := range c.arrive {
				s.Add(n)
			}
			got := fmt.Sprint(s.Missing(4), s.Twice, s.Disorder, s.Holes(4))
			if want := fmt.Sprint(c.missing, c.twice, c.disorder, c.holes); got != want {
				t.Errorf("missing, twice, disorder, holes: %s; want %s", got, want)
			}
		})
	}
}

func TestLogTakesWholeLinesOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := Open(path)
	l.Read(t)
	write := func(s string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = f.WriteString(s)
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	write(`{"message":"a 0","stream":"stdout"}` + "\n" + `{"message":"a 1 xx","str`)
	l.Read(t)
	write(`eam":"stdout"}` + "\n" + `{"remora":"gap","records":7}` + "\n" + `{"message":"free text"}` + "\n")
	l.Read(t)
	if n := l.Numbers("a", "stdout"); n.Distinct != 2 || n.Missing(2) != 0 {
		t.Errorf("of a: %+v", n)
	}
	if len(l.Others) != 2 || l.Gap != 7 {
		t.Errorf("%d others, gap of %d", len(l.Others), l.Gap)
	}
}

// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"slices"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/verify"
)

// One container that writes as quickly as it can does not delay another's line by more than a second.
func TestFairness(t *testing.T) {
	e := engine.New(t)
	p := e.NewPlugin(t)
	e.Run(t, p.Name, []string{"--label", "aliyun.logs.loud=stdout"}, "-name", "loud", "-lines", "-1", "-size", "500")
	time.Sleep(2 * time.Second)
	e.Run(t, p.Name, []string{"--label", "aliyun.logs.quiet=stdout"}, "-name", "quiet", "-lines", "50", "-rate", "10")
	log := follow(p, "quiet")
	var late []time.Duration
	log.Each = func(t testing.TB, r *verify.Record) {
		at, err := time.Parse(time.RFC3339Nano, r.Time)
		if err != nil {
			t.Fatal(err)
		}
		late = append(late, time.Since(at))
	}
	log.Await(t, 30*time.Second, "quiet", "stdout", 50)
	if worst := slices.Max(late); worst > time.Second {
		t.Errorf("a line was %v late", worst)
	} else {
		t.Logf("the latest line was %v late", worst.Round(time.Millisecond))
	}
}

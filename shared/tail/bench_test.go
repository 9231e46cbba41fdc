// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkStep is the cost of a step with a scan, of files that are quiet.
func BenchmarkStep(b *testing.B) {
	for _, files := range []int{10, 1000, 10_000} {
		b.Run(fmt.Sprint(files), func(b *testing.B) {
			r := newRig(b, Selection{Name: "a", Pattern: "*.log"})
			for i := range files {
				r.write(fmt.Sprintf("%05d.log", i), "one\n")
			}
			r.start().pass(20 * time.Second)
			r.now = r.now.Add(2 * time.Minute)
			r.pass(10 * time.Second)
			b.ReportAllocs()
			for b.Loop() {
				r.tailer.step(true)
			}
		})
	}
}

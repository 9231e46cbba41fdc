// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The kubelet renames a container's output, compresses the file that was renamed before, and does so every few seconds.
func TestTheKubeletsRotation(t *testing.T) {
	selection := Selection{Name: "a", Pattern: "app/*.log{,.*}", Exclude: []string{"*.tmp"}}
	for _, watched := range []bool{false, true} {
		t.Run(fmt.Sprint("watched ", watched), func(t *testing.T) {
			r := newWatchedRig(t, selection)
			turn := r.turn
			if !watched {
				r.rig = newRig(t, selection).start()
				turn = r.rig.pass
			}
			var want []string
			before, beforeText := "", ""
			for i := range 8 {
				text := ""
				for j := range 3 {
					part, lines := numbered("app", i*300+j*100, 100)
					r.write("app/0.log", part)
					want = append(want, lines...)
					text += part
					turn(time.Second)
				}
				if before != "" {
					r.write(before+".tmp", packed(t, beforeText))
					r.rename(before+".tmp", before+".gz")
					r.remove(before)
				}
				name := fmt.Sprintf("app/0.log.20260102-03040%d", i)
				r.rename("app/0.log", name)
				before, beforeText = name, text
				if watched {
					for len(r.told) > 0 {
						r.tailer.hint(<-r.told)
					}
				}
			}
			turn(40 * time.Second)
			r.wants(want...)
			require.Empty(t, r.gaps)
		})
	}
}

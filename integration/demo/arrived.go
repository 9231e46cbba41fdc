// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/remora-logs/remora/integration/verify"
)

// of returns the records of the lines of that name: an agent may have collected others.
func of(name, records string) string {
	var own strings.Builder
	for line := range strings.Lines(records) {
		if strings.Contains(line, `"message":"`+name+" ") {
			own.WriteString(line)
		}
	}
	return own.String()
}

// arrived waits until all lines of that name have come, shows the first and the last as they are, and says how complete
// and how orderly they came. read gives all that has been written so far.
func arrived(name, stream string, read func() (string, error)) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		text, err := read()
		if err != nil && time.Now().After(deadline) {
			return err
		}
		records := strings.Split(strings.TrimSpace(text), "\n")
		n, err := verify.Count(strings.NewReader(text), name, stream)
		if err != nil {
			return err
		}
		if n.Missing(lines) == 0 {
			fmt.Printf("\n    %s\n    … %d more …\n    %s\n\n", records[0], len(records)-2, records[len(records)-1])
			fmt.Printf("  %d of %d lines arrived; %d came twice, %d out of order.\n", n.Distinct, lines, n.Twice, n.Disorder)
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d lines have not arrived: %s", n.Missing(lines), lines, n.Holes(lines))
		}
		time.Sleep(200 * time.Millisecond)
	}
}

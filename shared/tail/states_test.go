// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestStatesAreAsDocumented compares the table in the package's comment with the one that the code follows.
func TestStatesAreAsDocumented(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	var events []string
	documented := map[string]map[string]string{}
	for line := range strings.Lines(string(text)) {
		row, ok := strings.CutPrefix(line, "//\t")
		if !ok {
			continue
		}
		cells := strings.Split(row, "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if events == nil {
			events = cells[1:]
			continue
		}
		documented[cells[0]] = map[string]string{}
		for i, next := range cells[1:] {
			if next != "." {
				documented[cells[0]][events[i]] = next
			}
		}
	}
	var names []string
	for e := Selected; e <= Expired; e++ {
		names = append(names, e.String())
	}
	require.Equal(t, names, events)
	coded := map[string]map[string]string{}
	for s, row := range transitions {
		coded[s.String()] = map[string]string{}
		for e, next := range row {
			coded[s.String()][e.String()] = next.String()
		}
	}
	require.Equal(t, coded, documented)
}

func TestAnEventThatIsNotListedLeavesTheState(t *testing.T) {
	for s := Stored; s <= Forgotten; s++ {
		for e := Selected; e <= Expired; e++ {
			g := &generation{state: s}
			next, ok := transitions[s][e]
			require.Equal(t, ok, g.fire(e), "%v %v", s, e)
			if !ok {
				next = s
			}
			require.Equal(t, next, g.state, "%v %v", s, e)
		}
	}
}

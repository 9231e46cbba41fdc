// SPDX-License-Identifier: Apache-2.0

package format

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/remora-logs/remora/shared/cputime"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
)

// Lines that are built to be searched again and again take time that is linear in them: some milliseconds, where
// quadratic time would be many seconds.
func TestHostileLinesTakeLinearTime(t *testing.T) {
	const prefix = `1.1.1.1 - - [21/Nov/2026:07:41:07 +0000] "GET / HTTP/1.1" 200 1 "-" "-" `
	try := func(name string, d declare.Declaration, start string) {
		chain, src := newChain(t, d, newSource()), newSource()
		for _, piece := range []string{
			"[", "]", "[ ", `"`, `\`, `\"`, `""`, `,`, `",`, `{"a":`, `{"":`, `[[`, `"a":1,`, "%40", "a@", "@", "a@b.", "eyJ-", "eyJ.", "bearer+", "bearer ", "4 ", "4",
			"1.", "1.1.1.1.", "-", " ", "=\"", "rt=\"", "0, ", "0 : ", "(1)", "[client ", ", referer: ", "\xff", "\xe4", "at ", ":in ", "\x00", `\x`, `\u00`, "(",
		} {
			b := record.NewBatch(0)
			b.Records = append(b.Records, record.Record{Line: []byte(start + strings.Repeat(piece, (256<<10)/len(piece))), Source: src})
			watch := cputime.Start()
			applyAll(chain, b, 0, readAt, true)
			assert.Less(t, watch.Stop(), 2*time.Second, "%s: %s%s…", name, start, piece)
		}
	}
	for name, c := range declared {
		for _, start := range []string{"", `{"a":"`, prefix + `"`, "[Wed Oct 11 14:32:52 2000] [error] "} {
			try(name, c.declaration, start)
		}
	}
	for _, preset := range declare.MultilinePresets {
		try(preset, declare.Declaration{Multiline: map[string]string{"preset": preset}}, "")
	}
	for _, preset := range declare.MaskPresets {
		try(preset, declare.Declaration{Filters: map[string]string{"mask": preset}}, "")
	}
	try("edits", declare.Declaration{Format: "json", Filters: map[string]string{"drop": "no~x", "remove": "b"}}, `{"a":"`)
}

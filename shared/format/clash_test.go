// SPDX-License-Identifier: Apache-2.0

package format

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/cputime"
	"github.com/remora-logs/remora/shared/declare"
)

// A line of a MiB whose names all come out as one costs time in proportion to its length.
func TestManyNamesThatComeOutAsOneAreCheap(t *testing.T) {
	members := "{" + strings.TrimSuffix(strings.Repeat(`"a.b":1,`, 100_000), ",") + "}"
	for name, c := range map[string]struct {
		line string
		into string
	}{"root": {members, ""}, "into": {members, "app"}, "nested": {`{"o":` + members + `}`, ""}} {
		options := map[string]string{"dots": "_"}
		if c.into != "" {
			options["into"] = c.into
		}
		src := newSource()
		chain := newChain(t, declare.Declaration{Format: "json", FormatOptions: options}, src)
		var offset int64
		b := batchOf(src, &offset, c.line)
		watch := cputime.Start()
		applyAll(chain, b, 0, readAt, true)
		require.Less(t, watch.Stop(), 5*time.Second, name)
		require.Len(t, b.Records, 1)
		require.Less(t, len(b.Records[0].Fields), 8<<20, name)
	}
}

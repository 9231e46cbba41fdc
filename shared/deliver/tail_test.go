// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTailPrintsRecordsAndWhatWasLeftOut(t *testing.T) {
	var out, notes strings.Builder
	events := "retry: 3000\n: open\n\n" +
		"data: {\"container\":\"web\",\"record\":{\"message\":\"one\"}}\n\n" +
		"event: missed\ndata: 7\u001b\n\n" +
		"data: {\"record\":{\"message\":\"\u202etwo\"}}\n\n: alive\n\n"
	require.NoError(t, printEvents(strings.NewReader(events), &out, &notes))
	require.Equal(t, "{\"message\":\"one\"}\n{\"message\":\"\\u202etwo\"}\n", out.String())
	require.Equal(t, "7\\x1b records were not shown: there were too many\n", notes.String())
	require.Error(t, printEvents(strings.NewReader("data: {\n"), &out, &notes))
}

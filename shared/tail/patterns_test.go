// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A declaration of several patterns is one: a file that two of them choose is read once, and the order of the patterns
// means nothing.
func TestSeveralPatternsOfOneDeclaration(t *testing.T) {
	r := newRig(t, Selection{Name: "app", Pattern: "a/*.log"}, Selection{Name: "app", Pattern: "*/x.log"})
	require.NoError(t, os.MkdirAll(r.path("a"), 0o755))
	require.NoError(t, os.MkdirAll(r.path("b"), 0o755))
	r.start()
	r.write("a/x.log", "both\n")
	r.write("a/y.log", "first\n")
	r.write("b/x.log", "second\n")
	r.pass(time.Second)
	r.wants("both", "first", "second")
	require.Len(t, r.streams(), 3)

	r.kill()
	slices.Reverse(r.selections)
	r.start()
	r.write("a/x.log", "both again\n")
	r.pass(time.Second)
	r.wants("both", "first", "second", "both again")

	r.set(r.selections[0]) // */x.log alone
	r.write("a/y.log", "not any more\n")
	r.write("a/x.log", "still\n")
	r.pass(time.Second)
	r.wants("both", "first", "second", "both again", "still")

	r.set(r.selections...)
	r.pass(time.Second)
	r.wants("both", "first", "second", "both again", "still", "not any more")
}

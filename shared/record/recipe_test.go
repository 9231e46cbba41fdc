// SPDX-License-Identifier: Apache-2.0

package record

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

// A source that is made of another's recipe is the other: each of its fields, of which there may be new ones.
func TestARecipeMakesTheSameSource(t *testing.T) {
	plain := NewSource("s", "d", "stdout", "t", nil, nil)
	tagged := NewSource("s", "d", "/a.log", "t", []Tag{{"index", "i"}, {"topic", "u"}, {"pipeline", "p"}, {"index", "twice"}, {"log", "mine"}, {"message", "no"}},
		[]Tag{{"index", "origin"}, {"host", "h"}, {"docker_container", "c"}})
	renamed := tagged.Renamed(func(member string) string {
		if other := map[string]string{"host": "host.name", "offset": "log.offset"}[member]; other != "" {
			return other
		}
		return member
	})
	renamed.SetContainer("other")
	renamed.SetWriter("shop/web/app")
	renamed.Store = Store{Project: "p", Shards: 3, TTL: 7}
	objects := Shape{StdLine: "log", Time: true, Objects: []Tag{{"beat", `{"name":"x"}`}, {"host", `{}`}}}
	for _, s := range []*Source{plain.Less(Without{Source: true}), renamed.Less(Without{Offset: true, Stream: true}), plain, tagged, renamed, plain.Shaped(objects), tagged.Shaped(objects), renamed.Shaped(objects)} {
		r := s.Recipe()
		again := r.Source()
		for _, member := range append([]string{"index", "host"}, ownMembers...) {
			require.Equal(t, s.name(member), again.name(member))
		}
		a, b := *s, *again
		a.name, b.name = nil, nil
		require.True(t, reflect.DeepEqual(a, b), "%+v\n%+v", a, b)
	}
}

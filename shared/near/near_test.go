// SPDX-License-Identifier: Apache-2.0

package near

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

var words = []string{"tags", "target", "format", "output", "container", "format.time_key", "multiline.start", "keep", "drop", "exclude"}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"format", "formt", 1}, {"json", "jsno", 1}, {"tags", "tag", 1}, {"kitten", "sitting", 3}} {
		assert.Equal(t, c.want, distance(c.a, c.b), c.a)
		assert.Equal(t, c.want, distance(c.b, c.a), c.b)
	}
	assert.Empty(t, Nearest("x", words))
	assert.Empty(t, Nearest("wholly-different", words))
	assert.Equal(t, "tags", Nearest("TAG", words))
}

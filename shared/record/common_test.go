// SPDX-License-Identifier: Apache-2.0

package record

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCommonIsMadeOnceAndReleasedByTheLast(t *testing.T) {
	c := NewCommon()
	for range 3 {
		c.Join()
	}
	var made, released atomic.Int32
	first := func() (any, func()) {
		made.Add(1)
		return "body", func() { released.Add(1) }
	}
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			require.Equal(t, "body", c.Made("key", first))
			require.Zero(t, released.Load(), "it is in use")
			c.Leave()
		})
	}
	all.Wait()
	require.Nil(t, c.Made("another key", first))
	require.EqualValues(t, 1, made.Load())
	require.Zero(t, released.Load())
	c.Leave()
	require.EqualValues(t, 1, released.Load())
}

func TestCommonThatNobodyMade(t *testing.T) {
	c := NewCommon()
	require.Nil(t, c.Made("key", func() (any, func()) { return nil, nil }))
	require.Equal(t, 1, c.Made("key", func() (any, func()) { return 1, func() {} }))
	c.Leave()
}

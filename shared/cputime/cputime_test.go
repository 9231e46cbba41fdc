// SPDX-License-Identifier: Apache-2.0

package cputime

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestWorkCountsAndWaitingDoesNot(t *testing.T) {
	w := Start()
	for w.Spent() < 5*time.Millisecond {
	}
	require.GreaterOrEqual(t, w.Stop(), 5*time.Millisecond)

	begin, w := time.Now(), Start()
	ts := unix.NsecToTimespec(int64(60 * time.Millisecond))
	require.NoError(t, unix.Nanosleep(&ts, nil)) // the thread stands still, as it does under a quota
	spent, took := w.Stop(), time.Since(begin)
	require.GreaterOrEqual(t, took, 60*time.Millisecond)
	require.Less(t, spent, took/2)
}

func TestNothingIsAllocated(t *testing.T) {
	require.Zero(t, testing.AllocsPerRun(100, func() { Start().Stop() }))
}

func BenchmarkWatch(b *testing.B) {
	for b.Loop() {
		Start().Stop()
	}
}

// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// mount is a file system that answers while it is not down.
type mount struct {
	content
	down *atomic.Pointer[chan struct{}]
}

func (m mount) ReadAt(p []byte, off int64) (int, error) {
	if down := m.down.Load(); down != nil {
		<-*down
	}
	return m.content.ReadAt(p, off)
}

// fail takes the file system down, until the function that it returns is called.
func (m mount) fail() (repair func()) {
	down := make(chan struct{})
	m.down.Store(&down)
	return func() {
		m.down.Store(nil)
		close(down)
		synctest.Wait()
	}
}

// newMount is a generation of a file in a remote file system, with text in it and one reader.
func newMount(t *testing.T, text string) (*reader, mount) {
	r := newRig(t, access)
	r.write("access.log", text)
	r.start()
	r.tailer.remote = func(content) bool { return true }
	r.blocked = true
	r.look()
	require.Len(t, r.feeds, 1)
	read := r.feeds[0].stream.(*reader)
	m := mount{read.generation.body, &atomic.Pointer[chan struct{}]{}}
	read.generation.body = m
	return read, m
}

// A shard asks many streams in turn. One whose file system does not answer costs it a moment at first, and then nothing.
func TestARemoteReadIsWaitedForAMoment(t *testing.T) {
	reader, m := newMount(t, "one\ntwo\n")
	synctest.Test(t, func(t *testing.T) {
		p := make([]byte, 100)
		n, err := reader.ReadAt(p, 0)
		require.NoError(t, err)
		require.Equal(t, "one\ntwo\n", string(p[:n]))

		repair := m.fail()
		begun := time.Now()
		for range 100 {
			n, err = reader.ReadAt(p, 4)
			require.NoError(t, err)
			require.Zero(t, n)
		}
		require.Equal(t, remotePatience, time.Since(begun))
		time.Sleep(remoteFailing)
		_, err = reader.ReadAt(p, 4)
		require.ErrorIs(t, err, errRemote)

		repair()
		n, err = reader.ReadAt(p, 4)
		require.NoError(t, err)
		require.Equal(t, "two\n", string(p[:n]))
		n, err = reader.ReadAt(p, 0) // returned to the checkpoint
		require.NoError(t, err)
		require.Equal(t, "one\ntwo\n", string(p[:n]))
	})
}

// What was read for a place that nobody asks for any more is not taken for another.
func TestARemoteReadOfAnotherPlaceIsForgotten(t *testing.T) {
	reader, m := newMount(t, "one\ntwo\n")
	synctest.Test(t, func(t *testing.T) {
		p := make([]byte, 100)
		repair := m.fail()
		n, err := reader.ReadAt(p, 4)
		require.NoError(t, err)
		require.Zero(t, n)
		repair()
		n, err = reader.ReadAt(p, 0)
		require.NoError(t, err)
		require.Equal(t, "one\ntwo\n", string(p[:n]))
	})
}

// The loop that commits waits for no file system either. What is stored then is the mark before, which is older.
func TestARemoteMarkIsWaitedForAMoment(t *testing.T) {
	reader, m := newMount(t, "one\ntwo\n")
	synctest.Test(t, func(t *testing.T) {
		before, err := reader.Mark(4)
		require.NoError(t, err)
		repair := m.fail()
		begun := time.Now()
		mark, err := reader.Mark(8)
		require.NoError(t, err)
		require.Equal(t, before, mark)
		require.Equal(t, remotePatience, time.Since(begun))
		repair()
		mark, err = reader.Mark(8)
		require.NoError(t, err)
		require.NotEqual(t, before, mark)
	})
}

// A thousand streams of one file system cost no thousand threads.
func TestReadsOfAFileSystemThatDoesNotAnswerAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d device
		down := make(chan struct{})
		begun, started := time.Now(), 0
		for range 1000 {
			if ok, ended := d.do(func() { <-down }); ok {
				require.False(t, ended)
				started++
			}
		}
		require.Equal(t, remoteWaiting, started)
		require.Equal(t, remoteWaiting*remotePatience, time.Since(begun))
		close(down)
		synctest.Wait()
		_, ended := d.do(func() {})
		require.True(t, ended)
	})
}

func TestWhichFileSystemsAreRemote(t *testing.T) {
	r := newRig(t, Selection{Name: "all", Pattern: "*.log"})
	r.write("access.log", "one\n")
	r.start().look()
	require.Nil(t, r.feeds[0].stream.(*reader).device, "a directory of tests is on a file system of this machine")
	r.tailer.remote = func(content) bool { return true }
	r.write("access2.log", "two\n")
	r.pass(time.Second)
	require.NotNil(t, r.feeds[len(r.feeds)-1].stream.(*reader).device)
}

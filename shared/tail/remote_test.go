// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"slices"
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
			patience := remotePatience
			if ok, ended := d.do(new(turn), func() { <-down }, &patience); ok {
				require.False(t, ended)
				started++
			}
		}
		require.Equal(t, remoteReading, started)
		require.Equal(t, remotePatience, time.Since(begun))
		close(down)
		synctest.Wait()
		time.Sleep(2 * remoteAbsent) // those that were refused do not ask again
		patience := remotePatience
		_, ended := d.do(new(turn), func() {}, &patience)
		require.True(t, ended)
	})
}

// slowly is a file whose reads take their time.
type slowly struct {
	content
	time time.Duration
}

func (s slowly) ReadAt(p []byte, off int64) (int, error) {
	time.Sleep(s.time)
	return s.content.ReadAt(p, off)
}

// Whoever shares a shard with a hundred streams of a slow file system has its turns, and these have theirs, each as often as
// the others, however slow it is.
func TestAHundredStreamsOfASlowFileSystem(t *testing.T) {
	for _, slow := range []time.Duration{2 * time.Millisecond, 15 * time.Millisecond, 25 * time.Millisecond, 200 * time.Millisecond} {
		first, _ := newMount(t, "one\ntwo\n")
		g := first.generation
		g.body = slowly{g.body, slow}
		synctest.Test(t, func(t *testing.T) {
			readers, reads := make([]*reader, 100), make([]int, 100)
			for i := range readers {
				readers[i] = &reader{generation: g, device: first.device}
			}
			const round, seconds = 15 * time.Millisecond, 30 // of the pipeline
			p, turns, began := make([]byte, 100), 0, time.Now()
			for ; time.Since(began) < seconds*time.Second; turns++ {
				patience := round
				for i, r := range readers {
					n, err := r.ReadAtWithin(p, 0, &patience)
					require.NoError(t, err)
					if n > 0 {
						reads[i]++
					}
				}
				time.Sleep(25 * time.Millisecond)
			}
			require.GreaterOrEqual(t, turns, 20*seconds, "%v", slow)
			least, most := slices.Min(reads), slices.Max(reads)
			require.GreaterOrEqual(t, least, min(seconds*int(4*time.Second/(2*slow+50*time.Millisecond))/100, seconds/2), "%v", slow)
			require.LessOrEqual(t, most, 2*least+seconds, "%v", slow)
			t.Logf("%v: %d turns a second; %d to %d reads of each in %d s", slow, turns/seconds, least, most, seconds)
			time.Sleep(time.Second)
		})
	}
}

// A stream that has left the queue without its turn holds up nobody for long.
func TestWhoDoesNotAskAnyMoreLeavesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d device
		var patience time.Duration
		busy := func() { time.Sleep(10 * time.Millisecond) }
		for range remoteReading {
			d.do(new(turn), busy, &patience)
		}
		for range 100 { // they are refused, and never come back
			begun, _ := d.do(new(turn), busy, &patience)
			require.False(t, begun)
		}
		last, began := new(turn), time.Now()
		for {
			if begun, _ := d.do(last, busy, &patience); begun {
				break
			}
			time.Sleep(25 * time.Millisecond)
		}
		require.Less(t, time.Since(began), remoteAbsent+100*time.Millisecond)
		require.Empty(t, d.queue)
		time.Sleep(time.Second)
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

// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// listener accepts connections for a test to treat as it likes.
func listener(t *testing.T) (address string, conns <-chan net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := make(chan net.Conn, 100)
	var done sync.WaitGroup
	done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c <- conn
		}
	})
	t.Cleanup(func() { _ = l.Close(); done.Wait() })
	return l.Addr().String(), c
}

func read(t *testing.T, c net.Conn, n int) string {
	t.Helper()
	p := make([]byte, n)
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	k, err := io.ReadFull(c, p)
	require.NoError(t, err, "%q", p[:k])
	return string(p)
}

func TestConnectionsAreKeptRenewedAndReplaced(t *testing.T) {
	address, conns := listener(t)
	p := NewPool(Options{Addresses: []string{address}, Timeout: time.Second})
	use := func() *Conn {
		c, err := p.Get(t.Context())
		require.NoError(t, err)
		return c
	}
	first := use()
	p.Put(first)
	require.Same(t, first, use())
	p.Put(first)

	server := <-conns
	require.NoError(t, server.Close()) // while it is idle
	first.rests = first.rests.Add(-time.Second)
	second := use()
	require.NotSame(t, first, second)
	p.Put(second)

	second.born = second.born.Add(-RenewAfter)
	third := use()
	require.NotSame(t, second, third, "of age")
	p.Put(third)
	require.NoError(t, p.Close())
	_, err := third.Write([]byte("x"))
	require.ErrorIs(t, err, net.ErrClosed)
}

func TestExchangeEndsWithItsContextAndItsTimeout(t *testing.T) {
	address, _ := listener(t)
	p := NewPool(Options{Addresses: []string{address}, Timeout: 50 * time.Millisecond})
	c, err := p.Get(t.Context())
	require.NoError(t, err)
	_, err = c.In.ReadByte()
	require.ErrorContains(t, c.Fail(err), address+": no answer within 50ms")
	p.Drop(c)

	p = NewPool(Options{Addresses: []string{address}, Timeout: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	c, err = p.Get(ctx)
	require.NoError(t, err)
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err = c.In.ReadByte()
	require.Error(t, err)
	p.Put(c) // which must not keep it
	require.Empty(t, p.idle)
}

func TestNextAddressIsTried(t *testing.T) {
	address, _ := listener(t)
	p := NewPool(Options{Addresses: []string{"127.0.0.1:1", address}, Timeout: time.Second})
	for range 4 {
		c, err := p.Get(t.Context())
		require.NoError(t, err)
		require.Equal(t, address, c.Address)
		p.Drop(c)
	}
	p = NewPool(Options{Addresses: []string{"127.0.0.1:1", "127.0.0.1:2"}, Timeout: time.Second})
	_, err := p.Get(t.Context())
	require.ErrorContains(t, err, "127.0.0.1:1")
	require.ErrorContains(t, err, "127.0.0.1:2")
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	defer l.Close()
	p := NewPool(Options{Addresses: []string{"unix:" + path}, Timeout: time.Second})
	c, err := p.Get(t.Context())
	require.NoError(t, err)
	p.Drop(c)
	require.NoError(t, os.RemoveAll(path))
}

func TestWhatWasWrittenShortlyBeforeTheEndIsSentAgain(t *testing.T) {
	address, conns := listener(t)
	w := NewOneway(Options{Addresses: []string{address}, Timeout: 5 * time.Second}, time.Minute)
	defer w.Close()
	require.NoError(t, w.Send(t.Context(), []byte("one ")))
	require.NoError(t, w.Send(t.Context(), []byte("two ")))
	first := <-conns
	require.Equal(t, "one ", read(t, first, 4)) // "two " lies in the kernel when the process dies
	require.NoError(t, first.Close())

	second := <-conns // though nothing else is sent
	require.Equal(t, "one two ", read(t, second, 8))
	require.Eventually(t, func() bool { // until then the next bytes would go over a connection of their own
		w.pool.mu.Lock()
		defer w.pool.mu.Unlock()
		return len(w.pool.idle) == 1
	}, 5*time.Second, time.Millisecond)
	require.NoError(t, w.Send(t.Context(), []byte("three")))
	require.Equal(t, "three", read(t, second, 5))
}

func TestWithoutAWindowNothingIsSentAgain(t *testing.T) {
	address, conns := listener(t)
	w := NewOneway(Options{Addresses: []string{address}, Timeout: 5 * time.Second}, 0)
	defer w.Close()
	require.NoError(t, w.Send(t.Context(), []byte("one")))
	first := <-conns
	require.NoError(t, first.Close())
	require.Eventually(t, func() bool { return w.Send(t.Context(), []byte("two")) == nil && len(conns) > 0 }, 5*time.Second, time.Millisecond)
	require.True(t, strings.HasPrefix(read(t, <-conns, 3), "two"))
}

func TestConnectionThatEndedIsNotWrittenTo(t *testing.T) {
	address, conns := listener(t)
	w := NewOneway(Options{Addresses: []string{address}, Timeout: 5 * time.Second}, 0)
	defer w.Close()
	for i := range 20 {
		require.NoError(t, w.Send(t.Context(), []byte{byte('a' + i)}))
		c := <-conns
		require.Equal(t, string(rune('a'+i)), read(t, c, 1))
		state := w.pool.idle[0].State.(*recent)
		require.NoError(t, c.Close())
		require.Eventually(t, state.broken.Load, 5*time.Second, time.Millisecond)
	}
}

// A peer whose kernel takes bytes, but whose process reads none, is waited for until the time-out.
func TestPeerThatDoesNotRead(t *testing.T) {
	address, _ := listener(t)
	w := NewOneway(Options{Addresses: []string{address}, Timeout: 300 * time.Millisecond}, 0)
	defer w.Close()
	err := w.Send(t.Context(), make([]byte, 64<<20))
	require.ErrorContains(t, err, address)
	require.ErrorContains(t, err, "300ms")
}

func TestHelloThatFailsIsAnErrorOfConnecting(t *testing.T) {
	address, conns := listener(t)
	p := NewPool(Options{Addresses: []string{address}, Timeout: time.Second, Hello: func(c *Conn) error {
		_, err := bufio.NewReader(c).ReadString('\n')
		return err
	}})
	go func() { _ = (<-conns).Close() }()
	_, err := p.Get(t.Context())
	require.ErrorContains(t, err, address)
}

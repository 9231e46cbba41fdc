// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// spareDescriptors is how many connections of the engine can be accepted while the process has no other descriptor left.
const spareDescriptors = 4

// sparing is a listener that accepts a few connections even if the process has no descriptor left: containers can start and
// stop, though the capture of a new one has to wait.
type sparing struct {
	*net.UnixListener

	mu    sync.Mutex // guards spare
	spare []*os.File // closed to free their descriptors
}

func newSparing(l *net.UnixListener) *sparing {
	s := &sparing{UnixListener: l}
	for range spareDescriptors {
		s.replenish()
	}
	return s
}

// Accept implements net.Listener.
func (s *sparing) Accept() (net.Conn, error) {
	for {
		c, err := s.UnixListener.Accept()
		if err == nil {
			return &sparingConn{Conn: c, listener: s}, nil
		}
		if !errors.Is(err, unix.EMFILE) && !errors.Is(err, unix.ENFILE) || !s.spend() {
			return nil, err // net/http retries after a pause if the error is temporary
		}
	}
}

// Close implements net.Listener.
func (s *sparing) Close() error {
	for s.spend() {
	}
	return s.UnixListener.Close()
}

// spend closes a spare descriptor. It reports false if none is left.
func (s *sparing) spend() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.spare)
	if n == 0 {
		return false
	}
	s.spare[n-1].Close()
	s.spare = s.spare[:n-1]
	return true
}

// replenish opens one spare descriptor if any is missing.
func (s *sparing) replenish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.spare) >= spareDescriptors {
		return
	}
	if f, err := os.Open(os.DevNull); err == nil {
		s.spare = append(s.spare, f)
	}
}

// sparingConn replenishes the spare descriptors when it is closed.
type sparingConn struct {
	net.Conn
	listener *sparing
}

func (c *sparingConn) Close() error {
	err := c.Conn.Close()
	if err == nil {
		c.listener.replenish()
	}
	return err
}

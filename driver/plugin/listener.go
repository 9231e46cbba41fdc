// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// spareDescriptors is how many connections of the engine can be accepted while the process has no descriptor left.
const spareDescriptors = 4

// sparing is a listener that accepts a few connections even when the process has no descriptor left: containers start and
// stop, though the log of a new one has to wait.
type sparing struct {
	*net.UnixListener

	mu    sync.Mutex // guards spare
	spare []*os.File // opened for nothing but being closed
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
			return nil, err // net/http tries again after a pause where the error passes
		}
	}
}

// Close implements net.Listener.
func (s *sparing) Close() error {
	for s.spend() {
	}
	return s.UnixListener.Close()
}

// spend closes a spare descriptor; false where there is none left.
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

// replenish opens a spare descriptor where some are missing.
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

// sparingConn gives its descriptor back to the spare ones.
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

// SPDX-License-Identifier: Apache-2.0

// Package handover gives the descriptors of a container's streams from the process that captures them to the node agent,
// so that neither is the only one that has them: a container whose streams nobody has open for reading is killed by
// SIGPIPE, and containerd starts its logger once only.
//
// A process connects to the agent's socket and sends one message: the key of its log, and two descriptors (unix(7),
// SCM_RIGHTS). The connection then stays open, and its end tells each that the other has died. Who captures is decided by
// the lock of the log alone, see spool.Role. A process that never had a log says at its end how much it discarded, see Loss.
package handover

import (
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// SocketName is the agent's socket in the spool's directory.
	SocketName = "agent.sock"
	// Streams is how many descriptors a message carries: stdout and stderr.
	Streams = 2
	// MaxKey bounds the key in a message.
	MaxKey = 255
	// MaxLoss bounds a Loss as it is sent. It fits into a socket's buffer, so that nobody waits for the agent to read it.
	MaxLoss = 64 << 10
	// Interval is how often an agent is looked for: one that appears has the descriptors within that time.
	Interval = 400 * time.Millisecond
)

// Offer gives a container's descriptors to each agent that appears. It makes no goroutine and waits for nothing, so that
// a process a container stays small: its loop calls Step, and polls FD.
type Offer struct {
	dir, key string
	fds      [Streams]int
	conn     int // -1 without an agent
	tried    time.Time
}

// NewOffer offers descriptors of the log of that key to the agent of the spool in dir.
func NewOffer(dir, key string, fds [Streams]int) *Offer {
	return &Offer{dir: dir, key: key, fds: fds, conn: -1}
}

// FD becomes readable when the agent has gone; -1 without an agent.
func (o *Offer) FD() int { return o.conn }

// Step looks for an agent where there is none, at most once in an Interval, and finds out that it has gone.
func (o *Offer) Step() {
	if o.conn >= 0 {
		var b [1]byte
		n, err := unix.Read(o.conn, b[:])
		if n > 0 || err == unix.EAGAIN || err == unix.EINTR {
			return
		}
		unix.Close(o.conn)
		o.conn = -1
	}
	if now := time.Now(); now.Sub(o.tried) >= Interval {
		o.tried = now
		o.conn = o.connect()
	}
}

// SendLoss tells the agent, if there is one, of what was discarded. It is the last that is sent, and does not wait.
func (o *Offer) SendLoss(l Loss) error {
	if o.Step(); o.conn < 0 {
		return errNoAgent
	}
	return l.send(o.conn)
}

// connect gives the descriptors to an agent; -1 where there is none, or none that can be trusted.
func (o *Offer) connect() int {
	if len(o.key) > MaxKey {
		return -1
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1
	}
	err = unix.Connect(fd, &unix.SockaddrUnix{Name: filepath.Join(o.dir, SocketName)})
	if err == nil && trusted(fd) {
		err = unix.Sendmsg(fd, []byte(o.key), unix.UnixRights(o.fds[:]...), nil, unix.MSG_NOSIGNAL)
		if err == nil {
			return fd
		}
	}
	unix.Close(fd)
	return -1
}

// trusted reports whether the agent runs as the same user, which is root on a node.
func trusted(fd int) bool {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	return err == nil && int(cred.Uid) == unix.Geteuid()
}

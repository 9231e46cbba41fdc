// SPDX-License-Identifier: Apache-2.0

// Package handover gives the descriptors of a container's streams from the process that captures them to the node agent,
// so that neither is the only one that has them: a container whose streams nobody has open for reading is killed by
// SIGPIPE, and containerd starts its logger once only.
//
// A process connects to the agent's socket and sends one message: the key of its log, and two descriptors (unix(7),
// SCM_RIGHTS). The connection then stays open, and its end tells each that the other has died. Who captures is decided by
// the lock of the log alone, see spool.Role.
package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// socketName is the agent's socket in the spool's directory.
	socketName = "agent.sock"
	// offerInterval is how often an agent is looked for: one that appears has the descriptors within that time.
	offerInterval = 400 * time.Millisecond
	// streams is how many descriptors a message carries: stdout and stderr.
	streams = 2
	// maxKey bounds the key in a message.
	maxKey = 255
)

// Offer gives the descriptors to each agent that appears, until ctx ends.
func Offer(ctx context.Context, dir, key string, fds [streams]int) {
	for ctx.Err() == nil {
		if conn, err := offerOnce(ctx, dir, key, fds); err == nil {
			awaitEnd(ctx, conn)
		}
		select {
		case <-ctx.Done():
		case <-time.After(offerInterval):
		}
	}
}

func offerOnce(ctx context.Context, dir, key string, fds [streams]int) (*net.UnixConn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, socketName))
	if err != nil {
		return nil, err
	}
	conn := c.(*net.UnixConn)
	if len(key) > maxKey {
		return nil, errors.Join(fmt.Errorf("key is longer than %d bytes", maxKey), conn.Close())
	}
	if err := trusted(conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if _, _, err := conn.WriteMsgUnix([]byte(key), unix.UnixRights(fds[:]...), nil); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// awaitEnd returns when the agent has gone, or ctx ends.
func awaitEnd(ctx context.Context, conn *net.UnixConn) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	var b [1]byte
	for {
		if _, err := conn.Read(b[:]); err != nil {
			return
		}
	}
}

// trusted reports an error unless the process at the other end runs as the same user, which is root on a node.
func trusted(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	if ctl := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); ctl != nil {
		return ctl
	}
	if err != nil {
		return err
	}
	if int(cred.Uid) != unix.Geteuid() {
		return fmt.Errorf("process %d runs as user %d, which is not trusted", cred.Pid, cred.Uid)
	}
	return nil
}

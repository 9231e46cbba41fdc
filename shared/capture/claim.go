// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/spool"
)

// claim makes this process the only reader of the container's pipes until the process ends. It fails with spool.ErrLocked if
// another process reads them, or if it cannot be excluded that one does.
//
// The claim is a lock (flock(2)) on the first pipe itself, not on a file of the spool: it must work while the disk is full,
// read-only or gone, when exactly one process has to discard the output. Descriptors that were handed over share one open file
// description, and hence its lock, with the process that sent them, so the pipe is opened again.
func (p *Pipes) claim() error {
	if p.claimed {
		return nil
	}
	if p.first == 0 && len(p.Pipes) > 0 {
		p.first = p.Pipes[0].FD // p.Pipes[0] may change later: ended pipes are removed
	}
	reopen := p.reopen
	if reopen == nil {
		reopen = reopenPipe
	}
	fd, err := reopen(p.first)
	if err == nil {
		if err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err == nil {
			p.claimed = true
			return nil
		}
		unix.Close(fd)
	}
	if p.Sole && !errors.Is(err, unix.EWOULDBLOCK) {
		return nil // no other process has the descriptors, and they are not offered before the claim succeeds
	}
	return fmt.Errorf("the container's pipe: %w (%w)", spool.ErrLocked, err)
}

// reopenPipe opens a pipe that this process has open already.
func reopenPipe(fd int) (int, error) {
	return unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
}

// offer sends the descriptors to an agent that has appeared. A process without the claim keeps them: the receiver could not
// know that this process still reads.
func (p *Pipes) offer() {
	if p.Offer != nil && p.claimed {
		p.Offer.Step()
	}
}

// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/spool"
)

// claim makes this process the one that reads the container's pipes, until it ends. It fails with spool.ErrLocked if another
// process reads them, or if it can't be known that none does.
//
// The claim is a lock (flock(2)) on the first pipe itself, not on a file of the spool: it can be had though the disk is full,
// read-only or gone, and then what comes has to be discarded by exactly one process. Descriptors that were handed over share
// one open file with the process that gave them, and would share its lock, so the pipe is opened once more.
func (p *Pipes) claim() error {
	if p.claimed {
		return nil
	}
	if p.first == 0 && len(p.Pipes) > 0 {
		p.first = p.Pipes[0].FD // of those that have not ended the first may be another one later
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
		return nil // nobody else has the descriptors, and none is offered them before there is a claim
	}
	return fmt.Errorf("the container's pipe: %w (%w)", spool.ErrLocked, err)
}

// reopenPipe opens a pipe that this process has open already.
func reopenPipe(fd int) (int, error) {
	return unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
}

// offer gives the descriptors to an agent that has appeared. A process without a claim keeps them to itself: whoever had them
// too could not know that this one reads.
func (p *Pipes) offer() {
	if p.Offer != nil && p.claimed {
		p.Offer.Step()
	}
}

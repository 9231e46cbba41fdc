// SPDX-License-Identifier: Apache-2.0

package handover

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Loss is what a process discarded because its container had no log: the spool could not be opened from the beginning to
// the end. The agent makes the log, with one gap in it, when it can.
type Loss struct {
	Bytes, Lines int64
	// Manifest is the container's, as the log stores it; empty where the process does not know it.
	Manifest []byte
}

var errNoAgent = errors.New("no agent is connected")

// lossFormat is the line in front of the manifest.
const lossFormat = "lost %d bytes %d lines\n"

func (l Loss) send(fd int) error {
	message := append(fmt.Appendf(nil, lossFormat, l.Bytes, l.Lines), l.Manifest...)
	if len(message) > MaxLoss { // its count is worth more than its tags
		message = fmt.Appendf(nil, lossFormat, l.Bytes, l.Lines)
	}
	for len(message) > 0 {
		n, err := unix.SendmsgN(fd, message, nil, nil, unix.MSG_NOSIGNAL)
		if err != nil {
			return fmt.Errorf("agent: %w", err)
		}
		message = message[n:]
	}
	return nil
}

// ParseLoss reads a Loss as SendLoss sends it.
func ParseLoss(message []byte) (l Loss, err error) {
	head, manifest, ok := bytes.Cut(message, []byte{'\n'})
	if !ok {
		return l, errors.New("loss is cut short")
	}
	if _, err := fmt.Sscanf(string(head)+"\n", lossFormat, &l.Bytes, &l.Lines); err != nil {
		return l, fmt.Errorf("loss: %w", err)
	}
	if l.Bytes <= 0 || l.Lines < 0 || l.Lines > l.Bytes || l.Bytes > maxLostBytes {
		return l, fmt.Errorf("a loss of %d lines in %d bytes can't be", l.Lines, l.Bytes)
	}
	l.Manifest = manifest
	return l, nil
}

// maxLostBytes keeps offsets behind a gap far from overflow.
const maxLostBytes = 1 << 50

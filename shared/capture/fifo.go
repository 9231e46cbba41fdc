// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/spool"
)

const (
	// smallPipe is the default capacity of a pipe in bytes (pipe(7)), largePipe the largest that it can be given without
	// privilege (/proc/sys/fs/pipe-max-size).
	smallPipe = 64 << 10
	largePipe = 1 << 20
	// maxEnlargedEarly bounds the total capacity of the FIFOs that are enlarged before they need it: half of the limit above
	// which the kernel makes a user's new pipes very small (pipe(7), pipe-user-pages-soft, 64 MiB by default).
	maxEnlargedEarly = 32 << 20
)

// enlargedEarly is the total capacity of the FIFOs that were enlarged before they needed it. A large pipe holds what a
// container writes while the plugin does not run; the engine waits ten seconds for it when the container ends, and then cuts
// its log short (moby container/monitor.go, loggerCloseTimeout).
var enlargedEarly atomic.Int64

// fifo is the reading end of a FIFO.
type fifo struct {
	path  string
	file  *os.File
	raw   syscall.RawConn
	size  int  // capacity in bytes
	early bool // it counts in enlargedEarly
	// writerSeen is set once the absence of a writer means that the writer is gone; writerMet is set once a writer was seen.
	writerSeen, writerMet bool
}

// openFIFO opens a FIFO for reading without waiting for a writer.
func openFIFO(path string) (*fifo, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.Mode()&os.ModeNamedPipe == 0 {
		return nil, fmt.Errorf("%s is not a FIFO", path)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	opened := &fifo{path: path, file: f, raw: raw, size: smallPipe}
	if enlargedEarly.Add(largePipe) <= maxEnlargedEarly {
		opened.early = true
		_ = raw.Control(opened.enlarge) // it is open
	} else {
		enlargedEarly.Add(-largePipe)
	}
	return opened, nil
}

// drainOrWait moves one piece from the FIFO to the log. If the FIFO is empty, it waits in the runtime's poller until there is
// data or the last writer closes the FIFO. It returns an error if interrupted.
func (f *fifo) drainOrWait(l *spool.Log) (n int, err error) {
	woken := false
	wait := f.raw.Read(func(fd uintptr) bool {
		n, err = f.splice(l, fd)
		f.writerMet = f.writerMet || n > 0 || err == spool.ErrEmpty
		f.writerSeen = f.writerSeen || woken || f.writerMet
		woken = true
		return err != spool.ErrEmpty && (err != io.EOF || f.writerSeen)
	})
	if wait != nil {
		return 0, wait
	}
	return n, err
}

// drain is like drainOrWait but does not wait.
func (f *fifo) drain(l *spool.Log) (n int, err error) {
	if ctl := f.raw.Control(func(fd uintptr) { n, err = f.splice(l, fd) }); ctl != nil {
		return 0, ctl
	}
	return n, err
}

// splice moves one piece to the log, and enlarges a small FIFO that was half full. A FIFO beyond maxEnlargedEarly stays small
// until then, because the kernel counts the capacity of all pipes of a user.
func (f *fifo) splice(l *spool.Log, fd uintptr) (int, error) {
	n, err := l.Take(int(fd))
	if f.nearlyFull(n) && f.size < largePipe {
		f.enlarge(fd)
	}
	return n, err
}

// nearlyFull reports whether n bytes are at least half of the pipe's capacity: the writer may have been blocked.
func (f *fifo) nearlyFull(n int) bool { return n >= f.size/2 }

func (f *fifo) enlarge(fd uintptr) {
	for size := largePipe; size > smallPipe; size /= 2 {
		if got, err := unix.FcntlInt(fd, unix.F_SETPIPE_SZ, size); err == nil {
			f.size = got
			return
		}
	}
	f.size = largePipe // do not try again
}

// interrupt makes the present and every later call of drainOrWait return.
func (f *fifo) interrupt() { f.file.SetReadDeadline(time.Unix(1, 0)) }

func (f *fifo) close() {
	f.file.Close()
	if f.early {
		enlargedEarly.Add(-largePipe)
		f.early = false
	}
}

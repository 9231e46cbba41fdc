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
	// smallPipe is what a FIFO holds unless asked to hold more (pipe(7)), largePipe what it may be asked for without
	// privilege (/proc/sys/fs/pipe-max-size).
	smallPipe = 64 << 10
	largePipe = 1 << 20
	// maxEnlargedEarly is how much all FIFOs together may be enlarged before they need it: half of what the kernel grants
	// the pipes of a user before it makes new ones very small (pipe(7), pipe-user-pages-soft, 64 MiB by default).
	maxEnlargedEarly = 32 << 20
)

// enlargedEarly is how much is in FIFOs that were enlarged before they needed it. A large pipe is what a container writes
// into while the plugin does not run; the engine waits ten seconds for it when the container ends, and then cuts its log
// short (moby container/monitor.go, loggerCloseTimeout).
var enlargedEarly atomic.Int64

// fifo is the reading end of a FIFO.
type fifo struct {
	path  string
	file  *os.File
	raw   syscall.RawConn
	size  int  // how much the pipe holds
	early bool // it was enlarged before it needed it
	// writerSeen is set once nobody having the FIFO open for writing means that its writer is gone, writerMet once
	// somebody was seen to have it open.
	writerSeen, writerMet bool
}

// openFIFO opens without waiting for a writer.
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

// drainOrWait moves to the log what is in the FIFO now. If that is nothing it waits in the runtime's poller, until there is
// something or the last writer closes the FIFO, and returns an error when interrupted.
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

// drain is drainOrWait without waiting.
func (f *fifo) drain(l *spool.Log) (n int, err error) {
	if ctl := f.raw.Control(func(fd uintptr) { n, err = f.splice(l, fd) }); ctl != nil {
		return 0, ctl
	}
	return n, err
}

// splice moves one piece to the log, and enlarges a FIFO that was half full. Those beyond maxEnlargedEarly are left small
// until then, because the kernel counts the size of all pipes of a user.
func (f *fifo) splice(l *spool.Log, fd uintptr) (int, error) {
	n, err := l.Take(int(fd))
	if f.nearlyFull(n) && f.size < largePipe {
		f.enlarge(fd)
	}
	return n, err
}

// nearlyFull reports whether n bytes are so large a part of what the pipe holds that its writer may have had to wait.
func (f *fifo) nearlyFull(n int) bool { return n >= f.size/2 }

func (f *fifo) enlarge(fd uintptr) {
	for size := largePipe; size > smallPipe; size /= 2 {
		if got, err := unix.FcntlInt(fd, unix.F_SETPIPE_SZ, size); err == nil {
			f.size = got
			return
		}
	}
	f.size = largePipe // not to be tried again
}

// interrupt makes drainOrWait return, now and whenever it is called again.
func (f *fifo) interrupt() { f.file.SetReadDeadline(time.Unix(1, 0)) }

func (f *fifo) close() {
	f.file.Close()
	if f.early {
		enlargedEarly.Add(-largePipe)
		f.early = false
	}
}

package capture

import (
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/stream"
)

const (
	// smallPipe is what a FIFO holds unless asked to hold more (pipe(7)), largePipe what it may be asked for without
	// privilege (/proc/sys/fs/pipe-max-size).
	smallPipe = 64 << 10
	largePipe = 1 << 20
)

// fifo is the reading end of a FIFO.
type fifo struct {
	path string
	file *os.File
	raw  syscall.RawConn
	size int // how much the pipe holds
	// writerSeen says that somebody has had the FIFO open for writing since we have.
	writerSeen bool
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
	return &fifo{path: path, file: f, raw: raw, size: smallPipe}, nil
}

// take moves to the log what is in the FIFO now. If that is nothing it waits in the runtime's poller, until there is
// something or the last writer closes the FIFO, and returns an error when interrupted.
func (f *fifo) take(l *stream.Log) (n int, err error) {
	woken := false
	wait := f.raw.Read(func(fd uintptr) bool {
		n, err = f.takeNow(l, fd)
		f.writerSeen = f.writerSeen || woken || n > 0 || err == stream.ErrEmpty
		woken = true
		return err != stream.ErrEmpty && (err != io.EOF || f.writerSeen)
	})
	if wait != nil {
		return 0, wait
	}
	return n, err
}

// takeLeft is take without waiting.
func (f *fifo) takeLeft(l *stream.Log) (n int, err error) {
	if ctl := f.raw.Control(func(fd uintptr) { n, err = f.takeNow(l, fd) }); ctl != nil {
		return 0, ctl
	}
	return n, err
}

// takeNow makes a FIFO that was half full larger: only then, because the kernel counts the size of all pipes of a user,
// and gives others very small ones once that is too much (pipe(7), pipe-user-pages-soft).
func (f *fifo) takeNow(l *stream.Log, fd uintptr) (int, error) {
	n, err := l.Take(int(fd))
	if f.crowded(n) && f.size < largePipe {
		f.enlarge(fd)
	}
	return n, err
}

// crowded says that n bytes are so large a part of what the pipe holds that its writer may have had to wait.
func (f *fifo) crowded(n int) bool { return n >= f.size/2 }

func (f *fifo) enlarge(fd uintptr) {
	for size := largePipe; size > smallPipe; size /= 2 {
		if got, err := unix.FcntlInt(fd, unix.F_SETPIPE_SZ, size); err == nil {
			f.size = got
			return
		}
	}
	f.size = largePipe // not to be tried again
}

// interrupt makes take return, now and whenever it is called again.
func (f *fifo) interrupt() { f.file.SetReadDeadline(time.Unix(1, 0)) }

func (f *fifo) close() { f.file.Close() }

// SPDX-License-Identifier: Apache-2.0

package loggers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/handover"
	"github.com/remora-logs/remora/shared/notice"
)

// Agent holds the descriptors of all containers of a node. Where the process that captured one dies, it starts another
// one with them.
type Agent struct {
	// Dir is the spool's directory.
	Dir string
	// Hold starts a process that captures the log of that key from the descriptors, stdout and stderr, in a session of its
	// own. It does not keep the files. When that process ends it calls exited, from another goroutine; finished says that
	// the container's streams have ended and everything was captured.
	Hold func(key string, files [2]*os.File, exited func(finished bool)) error
	// Ended reports whether nothing will be appended to the log of that key any more.
	Ended func(key string) bool
	// Lost is told what a process discarded that never had a log; nil if nobody wants to know.
	Lost func(key string, l handover.Loss)
	Log  *slog.Logger

	mu   sync.Mutex // guards held
	held map[string]*held
	done sync.WaitGroup
}

// held is the descriptors of one container, as they were given last.
type held struct {
	files    [handover.Streams]*os.File
	givers   int           // processes that have given them and live
	started  bool          // one was started that lives
	finished bool          // one has captured everything up to the end
	pause    time.Duration // before the next one is started, where they die at once
}

// A process that lives shorter than longLife is started again after a pause, which doubles from restartPause to
// maxRestartPause.
const (
	longLife        = time.Second
	restartPause    = 200 * time.Millisecond
	maxRestartPause = 10 * time.Second
)

// Run serves the socket until ctx ends, and then closes what it holds: processes that capture continue alone.
func (a *Agent) Run(ctx context.Context) error {
	path := filepath.Join(a.Dir, handover.SocketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	if err := os.Chmod(path, 0o600); err != nil { // as all in the spool; trusted is what counts
		return errors.Join(err, l.Close())
	}
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
				notice.LoggerNotAccepted.Log(a.Log, "error", err)
				time.Sleep(restartPause)
				continue
			}
			a.done.Wait()
			a.closeAll()
			return nil
		}
		a.done.Go(func() { a.serve(ctx, conn) })
	}
}

// serve takes what one process offers, waits for its end, and starts another one if the container has not ended.
func (a *Agent) serve(ctx context.Context, conn *net.UnixConn) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := trusted(conn); err != nil {
		notice.LoggerRefused.Log(a.Log, "error", err)
		return
	}
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	key, files, err := receive(conn)
	if err != nil {
		notice.LoggerOfferRefused.Log(a.Log, "error", err)
		return
	}
	a.take(key, files)
	_ = conn.SetReadDeadline(time.Time{})
	said, _ := io.ReadAll(io.LimitReader(conn, handover.MaxLoss)) // until the process has gone, however that is told
	if len(said) > 0 {
		a.lost(key, said)
	}
	if ctx.Err() != nil {
		return
	}
	a.left(key)
}

// lost takes what a process said at its end: it has read its container's streams to the end, and stored nothing.
func (a *Agent) lost(key string, said []byte) {
	l, err := handover.ParseLoss(said)
	if err != nil {
		notice.LoggerOfferRefused.Log(a.Log, "stream", key, "error", err)
		return
	}
	a.mu.Lock()
	if h := a.held[key]; h != nil {
		h.finished = true
	}
	a.mu.Unlock()
	if a.Lost != nil {
		a.Lost(key, l)
	}
}

// take keeps the newest descriptors of a container.
func (a *Agent) take(key string, files [handover.Streams]*os.File) {
	a.mu.Lock()
	defer a.mu.Unlock()
	h := a.held[key]
	if a.held == nil {
		a.held = map[string]*held{}
	}
	if h == nil {
		h = &held{}
		a.held[key] = h
	} else {
		closeFiles(h.files)
	}
	h.files = files
	h.givers++
}

// left notes that a process that had given descriptors has gone.
func (a *Agent) left(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if h := a.held[key]; h != nil {
		h.givers--
		a.replace(key, h)
	}
}

// replace starts another process for a container that none captures, and lets go of one that has ended. Under mu.
func (a *Agent) replace(key string, h *held) {
	switch {
	case h.givers > 0 || h.started:
		return
	case h.finished || a.Ended(key):
		closeFiles(h.files)
		delete(a.held, key)
		return
	}
	begun := time.Now()
	if err := a.Hold(key, h.files, func(finished bool) { a.exited(key, finished, begun) }); err != nil {
		notice.LoggerNotReplaced.Log(a.Log, "stream", key, "error", err)
		a.replaceLater(key, 5*restartPause)
		return
	}
	h.started = true
	notice.LoggerReplaced.Log(a.Log, "stream", key)
}

// exited notes that a process that was started has ended, perhaps before it had given anything. finished means that it has
// captured everything up to the end.
func (a *Agent) exited(key string, finished bool, begun time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	h := a.held[key]
	if h == nil {
		return
	}
	h.started, h.finished = false, h.finished || finished
	if finished || time.Since(begun) >= longLife {
		h.pause = 0
		a.replace(key, h)
		return
	}
	h.pause = min(max(2*h.pause, restartPause), maxRestartPause)
	a.replaceLater(key, h.pause)
}

func (a *Agent) replaceLater(key string, pause time.Duration) {
	time.AfterFunc(pause, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if h := a.held[key]; h != nil {
			a.replace(key, h)
		}
	})
}

// Holds reports whether the descriptors of the container of that key are held.
func (a *Agent) Holds(key string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.held[key] != nil
}

// Held is how many containers' descriptors are held.
func (a *Agent) Held() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.held)
}

func (a *Agent) closeAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, h := range a.held {
		closeFiles(h.files)
		delete(a.held, key)
	}
}

func closeFiles(files [handover.Streams]*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// receive reads one message. Whatever is wrong with it, no descriptor stays open.
func receive(conn *net.UnixConn) (key string, files [handover.Streams]*os.File, err error) {
	text := make([]byte, handover.MaxKey+1)
	rights := make([]byte, unix.CmsgSpace(4*4*handover.Streams)) // room for more than there may be, to see that there are more
	n, oobn, flags, _, err := conn.ReadMsgUnix(text, rights)
	if err != nil {
		return "", files, err
	}
	fds, err := descriptors(rights[:oobn])
	defer func() {
		if err != nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
		}
	}()
	key = string(text[:n])
	switch {
	case err != nil:
		return "", files, err
	case flags&(unix.MSG_CTRUNC|unix.MSG_TRUNC) != 0:
		err = errors.New("message is cut short")
	case len(fds) != handover.Streams:
		err = fmt.Errorf("message has %d descriptors, not %d", len(fds), handover.Streams)
	case !validKey(key):
		err = fmt.Errorf("%q can't be the key of a stream", key)
	}
	for _, fd := range fds {
		var st unix.Stat_t
		if err == nil {
			err = unix.Fstat(fd, &st)
		}
		if err == nil && st.Mode&unix.S_IFMT != unix.S_IFIFO {
			err = errors.New("descriptor is not a pipe's")
		}
	}
	if err != nil {
		return "", files, err
	}
	for i, fd := range fds {
		files[i] = os.NewFile(uintptr(fd), key)
	}
	return key, files, nil
}

func descriptors(rights []byte) (fds []int, err error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		got, parse := unix.ParseUnixRights(&m)
		fds = append(fds, got...)
		err = errors.Join(err, parse)
	}
	return fds, err
}

// validKey reports whether key is one path element of the characters that a key has.
func validKey(key string) bool {
	return key != "" && len(key) <= handover.MaxKey &&
		strings.Trim(key, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz-") == ""
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

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

// Agent holds the descriptors of all containers of a node. If the process that captures a container dies, it starts another one
// with them.
type Agent struct {
	// Dir is the spool's directory.
	Dir string
	// Hold starts a process, in a session of its own, that captures the log with that key from the descriptors of stdout and
	// stderr. It does not keep the files. When the process ends, Hold calls exited from another goroutine; finished means that
	// the container's streams have ended and everything was captured.
	Hold func(key string, files [2]*os.File, exited func(finished bool)) error
	// Ended reports whether nothing more will be appended to the log with that key.
	Ended func(key string) bool
	// Lost is called with what a process has discarded that could never open a log. It may be nil.
	Lost func(key string, l handover.Loss)
	Log  *slog.Logger

	mu   sync.Mutex // guards held
	held map[string]*held
	done sync.WaitGroup
}

// held holds the descriptors of one container, as last received.
type held struct {
	files    [handover.Streams]*os.File
	givers   int           // connected processes that have sent them
	started  bool          // a process that Hold started is running
	finished bool          // a process has captured everything up to the end
	pause    time.Duration // before the next process is started, if they die at once
}

// If a process lives shorter than longLife, the next one is started after a pause, which doubles from restartPause to
// maxRestartPause.
const (
	longLife        = time.Second
	restartPause    = 200 * time.Millisecond
	maxRestartPause = 10 * time.Second
)

// Run serves the socket until ctx ends, and then closes the descriptors. Processes that capture continue without it.
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
	if err := os.Chmod(path, 0o600); err != nil { // like all files of the spool; trusted makes the check
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

// serve receives the descriptors that one process offers, waits for its end, and starts another process if the container has not
// ended.
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
	said, _ := io.ReadAll(io.LimitReader(conn, handover.MaxLoss)) // until the connection ends, by EOF or an error
	if len(said) > 0 {
		a.lost(key, said)
	}
	if ctx.Err() != nil {
		return
	}
	a.left(key)
}

// lost handles the last message of a process that has read its container's streams to the end and stored nothing.
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

// take stores a container's descriptors in place of earlier ones.
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

// left records that a process that has sent descriptors is gone.
func (a *Agent) left(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if h := a.held[key]; h != nil {
		h.givers--
		a.replace(key, h)
	}
}

// replace starts another process for a container that no process captures, and closes the descriptors of one that has ended.
// The caller holds a.mu.
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

// exited records that a process that Hold started has ended, perhaps before it sent its descriptors. finished means that it
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

// Holds reports whether the agent holds the descriptors for the log with that key.
func (a *Agent) Holds(key string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.held[key] != nil
}

// Held returns the number of containers whose descriptors are held.
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

// receive reads one message with a key and descriptors. If it fails, it leaves no descriptor open.
func receive(conn *net.UnixConn) (key string, files [handover.Streams]*os.File, err error) {
	text := make([]byte, handover.MaxKey+1)
	rights := make([]byte, unix.CmsgSpace(4*4*handover.Streams)) // larger than needed, to detect surplus descriptors
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

// validKey reports whether key is a path element that consists of the characters of keys.
func validKey(key string) bool {
	return key != "" && len(key) <= handover.MaxKey &&
		strings.Trim(key, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz-") == ""
}

// trusted returns an error unless the peer runs as the same user, which is root on a node.
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

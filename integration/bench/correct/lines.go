// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/remora-logs/remora/integration/bench/pod"
	"github.com/remora-logs/remora/shared/stream/framestest"
)

// marker precedes the ten-digit number of a line.
const marker = "seq_"

// number returns the number of a line; -1 if it has none.
func number(line []byte) int {
	const digits = 10
	at := bytes.LastIndex(line, []byte(marker))
	if at < 0 || len(line) < at+len(marker)+digits {
		return -1
	}
	n, err := strconv.ParseUint(string(line[at+len(marker):][:digits]), 10, 63)
	if err != nil {
		return -1
	}
	return int(n)
}

// form is the form in which lines are written.
type form int

const (
	plain  form = iota // in an application's own file
	cri                // as containerd stores a container's output for the kubelet
	frames             // as the Docker engine writes them to a FIFO for a log driver
)

// logs are an application's logs, of numbered lines.
type logs struct {
	dir     string
	form    form
	file    *os.File
	written int // lines, and the number of the next one
	turns   int // of rotation
	padding int // bytes before the number
	clock   time.Time
}

// newLogs creates an application's file in root.
func newLogs(root string, as form) (*logs, error) {
	l := &logs{dir: filepath.Join(root, "logs"), form: as, padding: 120, clock: time.Now()}
	if as == cri {
		l.dir = filepath.Join(root, "var/log/pods", pod.Namespace+"_"+pod.Name+"_"+pod.UID, pod.Container)
	}
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return nil, err
	}
	return l, l.create()
}

// path returns the file that the application writes.
func (l *logs) path() string {
	switch l.form {
	case cri:
		return filepath.Join(l.dir, "0.log")
	case frames:
		return filepath.Join(l.dir, "fifo")
	}
	return filepath.Join(l.dir, "app.log")
}

func (l *logs) create() (err error) {
	if l.form == frames {
		if err := syscall.Mkfifo(l.path(), 0o600); err != nil {
			return err
		}
		l.file, err = os.OpenFile(l.path(), os.O_RDWR, 0) // as the engine opens it: it outlives the plugin
		return err
	}
	l.file, err = os.OpenFile(l.path(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	return err
}

// appendLine appends the next line in the form of the file.
func (l *logs) appendLine(dst []byte) []byte {
	text := bytes.Repeat([]byte{'x'}, l.padding)
	text = fmt.Appendf(text, " "+marker+"%010d", l.written)
	l.written++
	const piece = 16 << 10
	switch l.form {
	case plain:
		return append(append(dst, text...), '\n')
	case frames:
		e := framestest.Entry{Source: "stdout", TimeNano: time.Now().UnixNano()}
		if len(text) > piece {
			e.ID, e.Partial = fmt.Sprintf("%064d", l.written), true
		}
		for ; len(text) > piece; text = text[piece:] {
			e.Ordinal++
			e.Line = text[:piece]
			dst = framestest.Append(dst, e)
		}
		e.Line, e.Last = text, true
		e.Ordinal++
		return framestest.Append(dst, e)
	}
	for stamp := time.Now().UTC().Format(time.RFC3339Nano); ; text = text[piece:] {
		if len(text) <= piece {
			return fmt.Appendf(dst, "%s stdout F %s\n", stamp, text)
		}
		dst = fmt.Appendf(dst, "%s stdout P %s\n", stamp, text[:piece])
	}
}

// write writes rate lines per second for the duration long, and calls each between two lines at intervals of every.
func (l *logs) write(rate int, long, every time.Duration, each func() error) error {
	const step = 10 * time.Millisecond
	next := every
	for at := time.Duration(0); at < long; at += step {
		begun := time.Now()
		if every > 0 && at >= next {
			if err := each(); err != nil {
				return err
			}
			next += every
		}
		if err := l.burst(max(int(float64(rate)*step.Seconds()), 1)); err != nil {
			return err
		}
		time.Sleep(step - time.Since(begun))
	}
	return nil
}

// burst writes that many lines at once.
func (l *logs) burst(lines int) error {
	var buf []byte
	for range lines {
		buf = l.appendLine(buf)
		if len(buf) > 64<<10 {
			if _, err := l.file.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	_, err := l.file.Write(buf)
	return err
}

// rotated returns the name that logrotate, or the kubelet, gives the n-th rotated file. The kubelet's clock is simulated, one
// second a turn.
func (l *logs) rotated(n int) string {
	if l.form != cri {
		return fmt.Sprintf("%s.%d", l.path(), n)
	}
	return l.path() + "." + l.clock.Add(time.Duration(l.turns-n)*time.Second).Format("20060102-150405")
}

// keep is the number of rotated files that are kept.
const keep = 20

// rotate renames the file and creates a new one; the oldest is removed. A FIFO stays.
func (l *logs) rotate() error {
	if l.form == frames {
		return nil
	}
	if l.form == cri {
		_ = os.Remove(l.rotated(keep))
	} else {
		for n := keep - 1; n > 0; n-- {
			_ = os.Rename(l.rotated(n), l.rotated(n+1))
		}
	}
	l.turns++
	if err := os.Rename(l.path(), l.rotated(1)); err != nil {
		return err
	}
	_ = l.file.Close()
	return l.create()
}

// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// rotating is an application that writes numbered lines to a file, and the logrotate that looks after it. Nothing is
// truncated or removed that is not in a file beside it, so that no line may get lost.
type rotating struct {
	name, path string
	copies     bool // copytruncate; else it renames
	random     *rand.Rand
	file       *os.File
	lines      int // that were written
	rotated    int // how many old files there are
}

// numbered is a writer's line without its newline. Their lengths differ.
func numbered(name string, n int) string {
	return fmt.Sprintf("%s %d %s", name, n, bytes.Repeat([]byte{'a' + byte(n%26)}, n*31%200))
}

// run writes in bursts, torn anywhere within a line, until stop is closed. It leaves no line unfinished.
func (r *rotating) run(stop <-chan struct{}) (err error) {
	if r.file, err = os.OpenFile(r.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644); err != nil {
		return err
	}
	defer func() { r.file.Close() }()
	next := time.Now().Add(r.interval())
	for {
		var burst []byte
		for range 1 + r.random.IntN(60) {
			burst = append(append(burst, numbered(r.name, r.lines)...), '\n')
			r.lines++
		}
		torn := r.random.IntN(len(burst))
		for _, part := range [][]byte{burst[:torn], burst[torn:]} {
			if _, err := r.file.Write(part); err != nil {
				return err
			}
			select {
			case <-stop: // once the burst is complete
			case <-time.After(time.Duration(r.random.IntN(20)) * time.Millisecond):
			}
		}
		select {
		case <-stop:
			return nil
		default:
		}
		if time.Now().After(next) {
			if err := r.rotate(); err != nil {
				return err
			}
			next = time.Now().Add(r.interval())
		}
	}
}

func (r *rotating) interval() time.Duration {
	return 500*time.Millisecond + time.Duration(r.random.Int64N(int64(5*time.Second)))
}

// rotate moves every old file one on, and then this one or its content to the first place.
func (r *rotating) rotate() (err error) {
	for i := r.rotated; i > 0; i-- {
		if err := os.Rename(r.old(i), r.old(i+1)); err != nil {
			return err
		}
	}
	r.rotated++
	if r.copies {
		if err := copyFile(r.old(1), r.path); err != nil {
			return err
		}
		return r.file.Truncate(0)
	}
	if err := os.Rename(r.path, r.old(1)); err != nil {
		return err
	}
	r.file.Close()
	r.file, err = os.OpenFile(r.path, os.O_CREATE|os.O_WRONLY|os.O_EXCL|os.O_APPEND, 0o644)
	return err
}

func (r *rotating) old(i int) string { return r.path + "." + strconv.Itoa(i) }

func copyFile(to, from string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	c, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(c, f); err != nil {
		c.Close()
		return err
	}
	return c.Close()
}

func newRotating(dir, name string, copies bool, random *rand.Rand) *rotating {
	return &rotating{name: name, path: filepath.Join(dir, name+".log"), copies: copies, random: random}
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"
)

// inode removes the file once it was delivered, and creates one of the same name on the freed inode.
type inode struct{}

func (inode) name() string { return "a new file on a freed inode, 5 times" }

func (inode) play(ctx context.Context, d *day) error {
	l := d.logs
	for range 5 {
		if err := l.write(rate, 500*time.Millisecond, 0, nil); err != nil {
			return err
		}
		d.server.await(ctx, l.written, 5*time.Second)
		if err := l.replace(); err != nil {
			return err
		}
	}
	return l.write(rate, time.Second, 0, nil)
}

// replace removes the file, and creates it again until it has the same inode or a second has passed: if the collector keeps
// the file open, its inode is not free.
func (l *logs) replace() error {
	before, err := ino(l.path())
	if err != nil {
		return err
	}
	_ = l.file.Close()
	if err := os.Remove(l.path()); err != nil {
		return err
	}
	for range 20 {
		if err := l.create(); err != nil {
			return err
		}
		if now, err := ino(l.path()); err != nil || now == before {
			return err
		}
		_ = l.file.Close()
		if err := os.Remove(l.path()); err != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return l.create()
}

func ino(path string) (uint64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, fmt.Errorf("%s has no inode", path)
	}
	return s.Ino, nil
}

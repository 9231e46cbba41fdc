// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// fullDisk fills the disk that holds the collector's state, and kills the collector once meanwhile.
type fullDisk struct{}

func (fullDisk) name() string { return "the state's disk full, one SIGKILL" }

func (fullDisk) play(_ context.Context, d *day) error {
	if err := d.logs.write(rate/10, time.Second, 0, nil); err != nil {
		return err
	}
	full := filepath.Join(d.place.state, "full")
	if err := fill(full); err != nil {
		return err
	}
	if err := d.logs.write(rate/10, d.outage/2, 0, nil); err != nil {
		return err
	}
	d.collector.kill()
	if err := d.collector.start(); err != nil {
		return err
	}
	if err := d.logs.write(rate/10, time.Second, 0, nil); err != nil {
		return err
	}
	if err := os.Remove(full); err != nil {
		return err
	}
	d.collector.kill() // a collector that could not start without room does now
	if err := d.collector.start(); err != nil {
		return err
	}
	return d.logs.write(rate/10, time.Second, 0, nil)
}

// fill writes a file until there is no space for another byte.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for size := 64 << 10; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			return err
		}
	}
	return nil
}

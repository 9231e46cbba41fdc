// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"time"

	"github.com/klauspost/compress/gzip"
)

// compression renames and compresses a file of which the collector has read half, while the collector is stopped.
type compression struct{}

func (compression) name() string { return "a half-read file compressed while stopped" }

func (compression) play(ctx context.Context, d *day) error {
	l := d.logs
	if err := l.write(rate, time.Second, 0, nil); err != nil {
		return err
	}
	d.server.await(ctx, l.written, 10*time.Second)
	d.collector.kill()
	if err := l.burst(rate); err != nil {
		return err
	}
	if err := l.rotate(); err != nil {
		return err
	}
	if err := compress(l.rotated(1)); err != nil {
		return err
	}
	if err := d.collector.start(); err != nil {
		return err
	}
	return l.write(rate, time.Second, 0, nil)
}

func compress(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	f, err := os.Create(path + ".tmp")
	if err != nil {
		return err
	}
	z := gzip.NewWriter(f)
	if _, err := z.Write(content); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(path+".tmp", path+".gz"); err != nil {
		return err
	}
	return os.Remove(path)
}

// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/stream"
)

// Browser reads a log that other processes write and deliver, and changes nothing in it. It skips what those give up
// meanwhile. It is not safe for concurrent use.
type Browser struct {
	log   *Log
	known knownChunks
}

// Browse opens the log with that key in the spool at dir.
func Browse(dir, key string) (*Browser, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	s := newSpool(Options{Dir: dir, Role: Reader, Log: slog.New(slog.DiscardHandler)})
	b := &Browser{log: s.newLog(key, LogOptions{Raw: true})}
	if err := b.log.Refresh(); err != nil {
		return nil, fmt.Errorf("stream %s: %w", key, err)
	}
	return b, nil
}

// Key returns the log's name in the spool.
func (b *Browser) Key() string { return b.log.key }

// End returns the offset just past the last byte that was stored at the last call of Replay.
func (b *Browser) End() int64 { return b.log.End() }

// Chunk returns the chunk that the byte at off lies in.
func (b *Browser) Chunk(off int64) (stream.Chunk, error) { return b.known.chunk(b.log, off) }

// Replay is like Log.Replay, but io.EOF comes with the last bytes, so that an unfinished line is known to be the last one. It
// returns io.EOF for a log that was removed.
func (b *Browser) Replay(p []byte, off int64) (n int, at int64, err error) {
	if err := b.log.Refresh(); missing(err) {
		return 0, off, io.EOF
	} else if err != nil {
		return 0, off, err
	}
	ended, end := b.log.Ended(), b.log.End()
	for at = off; at < end; {
		from, to, err := b.stored(at, int64(len(p)))
		if err != nil {
			return 0, at, err
		}
		if at = from; from == to {
			break
		}
		n, err := b.log.pread(p, from, to)
		if err != nil && !missing(err) {
			return 0, at, err
		}
		// A hole reads as zeros, so what was read counts only if it is still stored.
		if from, to, err = b.stored(at, int64(n)); err == nil && n > 0 && from == at && to >= at+int64(n) {
			if ended && at+int64(n) >= end {
				err = io.EOF
			}
			return n, at, err
		}
	}
	if ended {
		err = io.EOF
	}
	return 0, at, err
}

// stored returns the first contiguous range at or after off that is stored, not much longer than enough; an empty range at the
// log's end if there is none.
func (b *Browser) stored(off, enough int64) (from, to int64, err error) {
	segs, end := *b.log.segments.Load(), b.log.End()
	from, to = end, end
	for _, g := range segs[max(segmentAt(segs, off), 0):] {
		data, hole, err := g.data(max(off-g.base, 0))
		if err != nil {
			return 0, 0, err
		}
		switch data, hole = data+g.base, hole+g.base; {
		case data == hole:
			continue
		case from == to:
			from, to = data, hole
		case data == to:
			to = hole
		}
		if hole != to || to < g.end() || to-from >= enough {
			break
		}
	}
	return from, to, nil
}

// data returns the first range at or after off that was not given back, relative to the segment's beginning; an empty range if
// there is none. It does not keep the file open.
func (g *segment) data(off int64) (from, to int64, err error) {
	size := g.size.Load()
	if off >= size {
		return size, size, nil
	}
	f, err := os.Open(g.name)
	if missing(err) {
		return size, size, nil
	}
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	if from, err = f.Seek(off, unix.SEEK_DATA); err != nil {
		return size, size, nil //nolint:nilerr // ENXIO: there is none
	}
	if to, err = f.Seek(from, unix.SEEK_HOLE); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", filepath.Base(g.name), err)
	}
	return min(from, size), min(to, size), nil
}

// Manifest returns the manifest of the log in that directory.
func Manifest(dir string) ([]byte, error) { return readManifest(dir) }

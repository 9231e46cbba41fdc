// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"

	"github.com/remora-logs/remora/shared/stream"
)

// gap is a part of a log that was given up. from and to are boundaries between frames unless records, the number of frames, is
// -1 for unknown.
type gap struct {
	from, to, records int64
	reason            string
	// unknown means that not even the size of what is missing is known: the gap's bytes are a placeholder.
	unknown bool
	// reported is set once the gap may have been returned to a reader, possibly by an earlier process. It must not grow then.
	reported bool
}

func (g *gap) error() *stream.Gap {
	e := &stream.Gap{From: g.from, To: g.to, Records: g.records, Bytes: g.to - g.from, Reason: g.reason}
	if g.unknown {
		e.Bytes = 0
	}
	return e
}

// stored returns the gap as it is stored in a file.
func (g *gap) stored(view string) storedGap {
	return storedGap{view, g.from, g.to, g.records, g.reason, g.unknown}
}

// Reasons of gaps.
const (
	reasonSpoolFull = "spool full"
	reasonCrash     = "lost in a crash"
	reasonRemoved   = "removed before this output was added"
)

// unknownLen is how many offsets an unknown gap takes up.
const unknownLen = 1

// findGap returns the gap that contains off, or nil, and where that gap or the next one after off begins.
func findGap(gaps []gap, off int64) (g *gap, next int64) {
	for i := range gaps {
		if off < gaps[i].from {
			return nil, gaps[i].from
		}
		if off < gaps[i].to {
			return &gaps[i], gaps[i].from
		}
	}
	return nil, maxOffset
}

// gapFileName is the file in which a log stores its gaps. It is created with the log, with room for some thirty of them, and then
// written in place, so that gaps that a full disk causes can be persisted.
const (
	gapFileName  = "gaps"
	gapFileBlock = 4096
)

// storedGap is a gap as it is stored in a file. A gap without a view concerns all views.
type storedGap struct {
	View    string `json:"view,omitempty"`
	From    int64  `json:"from"`
	To      int64  `json:"to"`
	Records int64  `json:"records"`
	Reason  string `json:"reason"`
	Unknown bool   `json:"unknown,omitempty"`
}

// encodeGaps returns a checksum, the entries as JSON, and spaces up to a whole number of blocks.
func encodeGaps(entries []storedGap) ([]byte, error) {
	body, err := json.Marshal(entries)
	if err != nil {
		return nil, err
	}
	b := fmt.Appendf(nil, "%08x\n%s\n", crc32.ChecksumIEEE(body), body)
	pad := (gapFileBlock - len(b)%gapFileBlock) % gapFileBlock
	return append(b, bytes.Repeat([]byte{' '}, pad)...), nil
}

// errDamaged is the error for a file of gaps that is not complete: because of a crash of the machine, or because there was no
// room for it.
var errDamaged = errors.New("checksum does not match")

func decodeGaps(b []byte) ([]storedGap, error) {
	sum, rest, _ := bytes.Cut(b, []byte("\n"))
	body, _, ok := bytes.Cut(rest, []byte("\n"))
	if !ok || string(sum) != fmt.Sprintf("%08x", crc32.ChecksumIEEE(body)) {
		return nil, errDamaged
	}
	var entries []storedGap
	err := json.Unmarshal(body, &entries)
	return entries, err
}

// readGapFile reads the gaps that an earlier process persisted: those of each view, and those that concern all. If the file is
// damaged, it returns an error and reads none; fillHoles then finds the holes.
func (l *Log) readGapFile() error {
	b, err := os.ReadFile(filepath.Join(l.dir, gapFileName))
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	entries, err := decodeGaps(b)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(l.dir, gapFileName), err)
	}
	var shared []gap
	for _, e := range entries {
		if e.From < 0 || e.To <= e.From || e.Records < -1 {
			continue
		}
		if e.View == "" {
			shared = append(shared, e.gap())
		} else if v := l.View(e.View); v != nil {
			v.gaps = append(v.gaps, e.gap())
		} else if len(l.otherGaps) < maxOtherGaps {
			l.otherGaps = append(l.otherGaps, e)
		}
	}
	for _, v := range l.views {
		sortGaps(v.gaps)
	}
	sortGaps(shared)
	l.sharedGaps.Store(&shared)
	return nil
}

// maxOtherGaps bounds the gaps that are kept of readers that the log is not opened with.
const maxOtherGaps = 64

func (e *storedGap) gap() gap {
	return gap{from: e.From, to: e.To, records: e.Records, reason: e.Reason, unknown: e.Unknown, reported: true}
}

func sortGaps(gaps []gap) {
	slices.SortFunc(gaps, func(a, b gap) int { return int(min(max(a.from-b.from, -1), 1)) })
}

// writeGapFile persists all gaps that a reader may still meet, and planned, which no view has yet. The caller holds l.maintMu.
func (l *Log) writeGapFile(planned []storedGap) error {
	l.unwritten.Store(false)
	entries := slices.Clip(planned)
	for _, v := range l.views {
		for _, g := range v.finalGaps() {
			entries = append(entries, g.stored(v.name))
		}
	}
	if l.followed.on { // shared gaps are in the writer's file of losses
		return l.writeViewGaps(entries)
	}
	open := l.published.Load() // first, because it may become a shared gap meanwhile
	shared := *l.sharedGaps.Load()
	if n := len(shared); open != nil && (n == 0 || shared[n-1].from < open.from) {
		shared = append(slices.Clip(shared), *open)
	}
	for _, g := range shared {
		entries = append(entries, g.stored(""))
	}
	return l.writeViewGaps(entries)
}

func (l *Log) writeViewGaps(entries []storedGap) error {
	err := l.writeEntries(append(entries, l.otherGaps...))
	if err != nil {
		l.unwritten.Store(true)
	}
	return err
}

func (l *Log) writeEntries(entries []storedGap) error { return l.writeGaps(gapFileName, entries) }

// writeGaps writes entries to the named file, in place, and makes them durable.
func (l *Log) writeGaps(file string, entries []storedGap) error {
	return l.overwriteGaps(file, entries, l.spool.disk.sync)
}

// overwriteGaps is writeGaps with the given sync.
func (l *Log) overwriteGaps(file string, entries []storedGap, sync func(*os.File) error) error {
	name := filepath.Join(l.dir, file)
	text, err := encodeGaps(entries)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := l.spool.disk.write(f, text, 0); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := sync(f); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

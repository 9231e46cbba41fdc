// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"

	"github.com/remora-logs/remora/shared/stream"
)

// gap is a part of a log that was given up. from and to are boundaries between frames, save where records is -1.
type gap struct {
	from, to, records int64
	reason            string
	// seen says that a reader was told of it, or may have been by an earlier process: it must not grow any more.
	seen bool
}

func (g *gap) error() *stream.Gap {
	return &stream.Gap{From: g.from, To: g.to, Records: g.records, Bytes: g.to - g.from, Reason: g.reason}
}

// findGap is the gap that holds off, or the next one after it.
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

// ledgerName is the file in which a log keeps its gaps. It is made, with room for some thirty of them, when the log is,
// and then written in place: so that a disk that is full can't keep what it costs from being written down.
const (
	ledgerName  = "gaps"
	ledgerBlock = 4096
)

// ledgerEntry is a gap as the ledger has it. A gap without a view concerns all of them.
type ledgerEntry struct {
	View    string `json:"view,omitempty"`
	From    int64  `json:"from"`
	To      int64  `json:"to"`
	Records int64  `json:"records"`
	Reason  string `json:"reason"`
}

// encodeLedger is a checksum, the entries as JSON, and spaces up to a whole number of blocks.
func encodeLedger(entries []ledgerEntry) ([]byte, error) {
	body, err := json.Marshal(entries)
	if err != nil {
		return nil, err
	}
	b := fmt.Appendf(nil, "%08x\n%s\n", crc32.ChecksumIEEE(body), body)
	pad := (ledgerBlock - len(b)%ledgerBlock) % ledgerBlock
	return append(b, bytes.Repeat([]byte{' '}, pad)...), nil
}

func decodeLedger(b []byte) ([]ledgerEntry, error) {
	sum, rest, _ := bytes.Cut(b, []byte("\n"))
	body, _, ok := bytes.Cut(rest, []byte("\n"))
	if !ok || string(sum) != fmt.Sprintf("%08x", crc32.ChecksumIEEE(body)) {
		return nil, fmt.Errorf("checksum does not match")
	}
	var entries []ledgerEntry
	err := json.Unmarshal(body, &entries)
	return entries, err
}

// readLedger gives each view the gaps that an earlier process wrote down, and the log those that concern all. A ledger
// that a crash of the machine tore is reported and taken as empty: the holes themselves are then found by fillHoles.
func (l *Log) readLedger() error {
	b, err := os.ReadFile(filepath.Join(l.dir, ledgerName))
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	entries, err := decodeLedger(b)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(l.dir, ledgerName), err)
	}
	var losses []gap
	for _, e := range entries {
		if e.From < 0 || e.To <= e.From || e.Records < -1 {
			continue
		}
		g := gap{from: e.From, to: e.To, records: e.Records, reason: e.Reason, seen: true}
		if e.View == "" {
			losses = append(losses, g)
		} else if v := l.View(e.View); v != nil {
			v.gaps = append(v.gaps, g)
		}
	}
	for _, v := range l.views {
		sortGaps(v.gaps)
	}
	sortGaps(losses)
	l.losses.Store(&losses)
	return nil
}

func sortGaps(gaps []gap) {
	slices.SortFunc(gaps, func(a, b gap) int { return int(min(max(a.from-b.from, -1), 1)) })
}

// writeLedger writes down all gaps that a reader may still meet, and planned, which none knows of yet. Under Log.care.
func (l *Log) writeLedger(planned []ledgerEntry) error {
	l.unwritten.Store(false)
	entries := slices.Clip(planned)
	for _, v := range l.views {
		for _, g := range v.settledGaps() {
			entries = append(entries, ledgerEntry{v.name, g.from, g.to, g.records, g.reason})
		}
	}
	open := l.losing.Load() // first: it may become one of the others in between
	losses := *l.losses.Load()
	if n := len(losses); open != nil && (n == 0 || losses[n-1].from < open.from) {
		losses = append(slices.Clip(losses), *open)
	}
	for _, g := range losses {
		entries = append(entries, ledgerEntry{"", g.from, g.to, g.records, g.reason})
	}
	err := l.writeEntries(entries)
	if err != nil {
		l.unwritten.Store(true)
	}
	return err
}

func (l *Log) writeEntries(entries []ledgerEntry) error {
	name := filepath.Join(l.dir, ledgerName)
	text, err := encodeLedger(entries)
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
	if err := l.spool.disk.sync(f); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

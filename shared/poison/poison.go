// SPDX-License-Identifier: Apache-2.0

// Package poison finds records that kill the process while they are parsed or filtered. The process reads them again after
// each restart, and would otherwise die of them for ever.
//
// Each worker has a slot in a mapped file, and writes to it which record it works on. The kernel keeps the file when the
// process dies, so the next process finds the records that were being worked on. A slot is empty while nothing is parsed or
// filtered: a process that is killed while a backend is down leaves no mark.
//
// A file system that copies on write allows no mapping, and a system call for each record would cost too much. There a slot
// holds the offset up to which a worker has read, which takes two calls a turn. After a death, the records up to there are
// marked one by one, so it takes one more death to find the culprit.
package poison

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/mapped"
	"github.com/remora-logs/remora/shared/notice"
)

// A record is processed alone after AloneAfter deaths with its mark, so that no other can be to blame for the next one. It is
// set aside after AsideAfter.
const AloneAfter, AsideAfter = 2, 3

// maxSuspects bounds the number of records remembered. Most of them were only being worked on when something else killed the
// process. The oldest are forgotten first.
const maxSuspects = 1024

// A slot holds the mark, the source's identity and the output's name, all in one cache line. The mark is 0 for none, a
// record's mark plus one, or for a turn -1 minus the offset at which it ends.
const (
	slotSize           = 64
	idAt, idSize       = 8, 24
	outputAt, nameSize = 32, 32
)

// Suspect is a record, or a turn, that was being worked on when a process died.
type Suspect struct {
	Source string `json:"source"` // record.Source.ID
	Output string `json:"output"`
	Mark   int64  `json:"mark"` // identifies the record in its source, see format.Chain.Watch; negative for a turn
	Deaths int    `json:"deaths"`
}

// Watch holds the marks of this process and the suspects of earlier ones.
type Watch struct {
	path string // of the suspects
	log  *slog.Logger
	mem  []byte // the mapped file, or a copy of unmapped's content
	// unmapped is the file if it can't be mapped, else nil.
	unmapped *os.File

	mu       sync.Mutex
	suspects []Suspect // the oldest first
}

// Map maps a file, as mapped.Map does.
type Map func(f *os.File, at, size int64) ([]byte, error)

// Open reads the suspects of earlier processes, and makes slots for workers in a file in dir, which it maps with mapFile. It
// fails if the file can't be read or made, or can't be mapped for another reason than ErrCopyOnWrite; then nothing is watched.
func Open(dir string, slots int, mapFile Map, log *slog.Logger) (*Watch, error) {
	w := &Watch{path: filepath.Join(dir, "suspects.json"), log: log}
	if text, err := os.ReadFile(w.path); err == nil {
		if err := json.Unmarshal(text, &w.suspects); err != nil {
			notice.SuspectsForgotten.Log(log, "path", w.path, "error", err)
			_ = os.Rename(w.path, w.path+".bad") // it may be a newer Remora's
			w.suspects = nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("suspects: %w", err)
	}
	marks := filepath.Join(dir, "processing")
	old, err := os.ReadFile(marks)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("marks: %w", err)
	}
	died := w.accuse(old)
	if err := w.openMarks(marks, int64(max(slots*slotSize, os.Getpagesize())), mapFile); err != nil {
		return nil, fmt.Errorf("marks: %w", err)
	}
	if died {
		if err := w.save(); err != nil { // before anything is worked on: it may kill us
			notice.SuspectsNotStored.Log(log, "error", err)
		}
	}
	clear(w.mem)
	if w.unmapped != nil {
		if _, err := w.unmapped.WriteAt(w.mem, 0); err != nil {
			return nil, errors.Join(fmt.Errorf("marks: %w", err), w.unmapped.Close())
		}
	}
	return w, nil
}

// accuse counts a death for each mark in old, and reports whether there is any.
func (w *Watch) accuse(old []byte) (died bool) {
	for ; len(old) >= slotSize; old = old[slotSize:] {
		at := int64(binary.NativeEndian.Uint64(old))
		if at == 0 {
			continue
		}
		died = true
		s := Suspect{Source: text(old[idAt : idAt+idSize]), Output: text(old[outputAt : outputAt+nameSize]), Mark: at - 1}
		if at < 0 {
			w.accuseTurn(s.Source, s.Output, at)
			continue
		}
		if i := w.find(s.Source, s.Output, s.Mark); i >= 0 {
			s = w.suspects[i]
			w.suspects = slices.Delete(w.suspects, i, i+1)
		}
		s.Deaths++
		w.suspects = append(w.suspects, s)
		notice.SuspectFound.Log(w.log, "source", s.Source, "output", s.Output,
			"mark", s.Mark, "deaths", s.Deaths)
	}
	w.suspects = w.suspects[max(0, len(w.suspects)-maxSuspects):]
	return died
}

// accuseTurn notes a turn in which a process died, in place of an earlier one of the same source and output.
func (w *Watch) accuseTurn(source, output string, mark int64) {
	w.suspects = slices.DeleteFunc(w.suspects, func(s Suspect) bool {
		return s.Source == source && s.Output == output && s.Mark < 0
	})
	w.suspects = append(w.suspects, Suspect{Source: source, Output: output, Mark: mark, Deaths: 1})
}

func text(p []byte) string {
	p, _, _ = bytes.Cut(p, []byte{0})
	return string(p)
}

func (w *Watch) find(source, output string, mark int64) int {
	return slices.IndexFunc(w.suspects, func(s Suspect) bool {
		return s.Source == source && s.Output == output && s.Mark == mark
	})
}

// openMarks maps the file at path, or keeps it open if it can't be mapped.
func (w *Watch) openMarks(path string, size int64, mapFile Map) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	w.mem, err = mapFile(f, 0, size)
	if errors.Is(err, mapped.ErrCopyOnWrite) {
		w.mem, w.unmapped = make([]byte, size), f
		return nil
	}
	return errors.Join(err, f.Close())
}

// save stores the suspects. The caller holds mu, or has not shared w yet.
func (w *Watch) save() error {
	p, err := json.Marshal(w.suspects)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(w.path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(p)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(w.path+".tmp", w.path)
}

// Of returns the number of deaths by mark for a source on its way to an output. It includes only records that must be
// processed alone or set aside.
func (w *Watch) Of(source, output string) map[int64]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	var of map[int64]int
	for _, s := range w.suspects {
		if s.Source == source && s.Output == output && s.Mark >= 0 && s.Deaths >= AloneAfter {
			if of == nil {
				of = map[int64]int{}
			}
			of[s.Mark] = s.Deaths
		}
	}
	return of
}

// Turn returns the mark of a turn, of a source on its way to an output, in which a process died, and the offset at which the
// turn ended. Its records must be marked one by one until Clear is called with that mark. ok is false if there is none.
func (w *Watch) Turn(source, output string) (mark, end int64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.suspects {
		if s.Source == source && s.Output == output && s.Mark < 0 {
			return s.Mark, -1 - s.Mark, true
		}
	}
	return 0, 0, false
}

// Any reports whether there is a record that must be processed alone.
func (w *Watch) Any() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.suspects, func(s Suspect) bool {
		return s.Mark >= 0 && s.Deaths >= AloneAfter && s.Deaths < AsideAfter
	})
}

// Clear forgets a suspect, after it was processed alone, or all of its turn was, without killing the process.
func (w *Watch) Clear(source, output string, mark int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := w.find(source, output, mark)
	if i < 0 {
		return
	}
	w.suspects = slices.Delete(w.suspects, i, i+1)
	if err := w.save(); err != nil {
		notice.SuspectsNotStored.Log(w.log, "error", err)
	}
}

// Slot is the place where one worker writes what it works on.
type Slot struct {
	mem  *[slotSize]byte
	file *os.File // where mem is written, at offset at; nil if it is mapped
	at   int64
}

// Slot returns the slot of worker i.
func (w *Watch) Slot(i int) Slot {
	return Slot{(*[slotSize]byte)(w.mem[i*slotSize:]), w.unmapped, int64(i * slotSize)}
}

// At returns the word to which the worker writes the mark plus one of the record that it works on, and 0 when it has finished.
// It is plain memory: only this worker writes it and, if it is mapped, only another process reads it.
func (s Slot) At() *int64 { return (*int64)(unsafe.Pointer(s.mem)) }

// Enter sets the source and the output of the records that follow, which end at the offset end. single means that they are
// marked one by one, by Mark.
func (s Slot) Enter(source, output string, end int64, single bool) {
	clear(s.mem[idAt:])
	copy(s.mem[idAt:idAt+idSize], source)
	copy(s.mem[outputAt:outputAt+nameSize], output)
	if s.file != nil && !single {
		*s.At() = -1 - end
		s.write()
		*s.At() = 0
	}
}

// Mark marks a record, even if the file is not mapped.
func (s Slot) Mark(mark int64) {
	*s.At() = mark + 1
	s.write()
}

// Leave marks that nothing is being worked on.
func (s Slot) Leave() {
	*s.At() = 0
	s.write()
}

// write stores the slot if it is not mapped. If that fails, the worker's records are not watched.
func (s Slot) write() {
	if s.file != nil {
		_, _ = s.file.WriteAt(s.mem[:], s.at)
	}
}

// Close releases the memory. Slots must not be used after it.
func (w *Watch) Close() error {
	if w.unmapped != nil {
		return w.unmapped.Close()
	}
	return unix.Munmap(w.mem)
}

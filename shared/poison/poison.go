// SPDX-License-Identifier: Apache-2.0

// Package poison finds records that kill the process while they are parsed or filtered, so that it does not die of them
// for ever: it would read them again after each restart.
//
// Each worker has a slot in a mapped file, and writes to it which record it works on. The kernel keeps what was written
// when the process dies, so the next one finds the records that were being worked on. A slot is empty while nothing is
// parsed or filtered: a process that is killed while a backend is down leaves no mark.
//
// On a file system that copies on write nothing can be mapped, and a system call a record would cost too much. There a slot
// says up to where a worker has read, in two calls a turn. After a death, the records up to there are marked one by one: it
// takes one death more to find the one.
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

// A record is processed alone after AloneAfter deaths with its mark, so that no other can be to blame for the next one,
// and set aside after AsideAfter.
const AloneAfter, AsideAfter = 2, 3

// maxSuspects bounds how many records are remembered. Most of them were only worked on when something else killed the
// process; the oldest are forgotten first.
const maxSuspects = 1024

// A slot: the record's mark plus one, or 0, or of a turn the offset that it ends at, as -1 minus that; the source's identity;
// the output's name. All of it is in one cache line.
const (
	slotSize           = 64
	idAt, idSize       = 8, 24
	outputAt, nameSize = 32, 32
)

// Suspect is a record that was worked on when a process died.
type Suspect struct {
	Source string `json:"source"` // record.Source.ID
	Output string `json:"output"`
	Mark   int64  `json:"mark"` // names the record in its source: see format.Chain.Watch; below 0 for one of a turn
	Deaths int    `json:"deaths"`
}

// Watch is the marks of this process and the suspects of those before it.
type Watch struct {
	path string // of the suspects
	log  *slog.Logger
	mem  []byte // the mapped file, or what is to be written to the other
	// unmapped is the file where it can't be mapped, else nil.
	unmapped *os.File

	mu       sync.Mutex
	suspects []Suspect // the oldest first
}

// Map maps a file, as mapped.Map does.
type Map func(f *os.File, at, size int64) ([]byte, error)

// Open reads which records earlier processes died of, and makes slots for workers in a file in dir, which it gives to mapFile. It
// fails where the file can't be had, or mapped for another reason than that its file system copies on write; then nothing is
// watched.
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

// accuse counts a death for each mark in old, and reports whether there is one.
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

// accuseTurn remembers a turn that a process died in, in place of an earlier one of the same source.
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

// openMarks maps the file at path, or keeps it open where it can't be mapped.
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

// save stores the suspects. Under mu, or before the watch is shared.
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

// Of returns how many deaths each mark of a source on its way to an output is suspected of; only those that are to be
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

// Turn returns the mark of a turn of a source on its way to an output in which a process died, and where that ended. Its records
// are to be marked one by one, until Clear is called with that mark. ok is false where there is none.
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

// Any reports whether there is a record that is to be processed alone.
func (w *Watch) Any() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.suspects, func(s Suspect) bool {
		return s.Mark >= 0 && s.Deaths >= AloneAfter && s.Deaths < AsideAfter
	})
}

// Clear forgets a suspect: it was processed, alone, and the process lives; or all of a turn was.
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

// Slot is where one worker writes what it works on.
type Slot struct {
	mem  *[slotSize]byte
	file *os.File // where mem is to be written, at at; nil where it is mapped
	at   int64
}

// Slot returns the slot of worker i.
func (w *Watch) Slot(i int) Slot {
	return Slot{(*[slotSize]byte)(w.mem[i*slotSize:]), w.unmapped, int64(i * slotSize)}
}

// At returns where the worker writes the mark plus one of the record that it works on, and 0 when it has ended. It is plain
// memory: only this worker writes it, and only another process reads it, where it is mapped.
func (s Slot) At() *int64 { return (*int64)(unsafe.Pointer(s.mem)) }

// Enter names the source and the output of the records that follow, which end at the offset end. single says that they are marked
// one by one, by Mark.
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

// Mark marks a record also where At is not mapped.
func (s Slot) Mark(mark int64) {
	*s.At() = mark + 1
	s.write()
}

// Leave says that nothing is worked on.
func (s Slot) Leave() {
	*s.At() = 0
	s.write()
}

// write stores a slot that is not mapped. What can't be stored is as if it had not been worked on.
func (s Slot) write() {
	if s.file != nil {
		_, _ = s.file.WriteAt(s.mem[:], s.at)
	}
}

// Close gives the memory back. Slots are not used after it.
func (w *Watch) Close() error {
	if w.unmapped != nil {
		return w.unmapped.Close()
	}
	return unix.Munmap(w.mem)
}

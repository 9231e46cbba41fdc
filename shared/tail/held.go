// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// Removed files may hold 1/heldShare of a file system, and 1/heldFloor of it must stay free for the application: an
	// application removes files to have their space.
	heldShare, heldFloor = 4, 8
	// heldFloorMost bounds the part that must stay free, in bytes: on a large disk this is enough to act in time.
	heldFloorMost = 1 << 30
	// heldMemory bounds what removed files may hold of a tmpfs, in bytes. That is memory of the Pod, whose limit is not known
	// here, and whose containers are killed if they exceed it.
	heldMemory = 64 << 20
	tmpfsMagic = 0x01021994 // statfs(2)
)

// space is what statfs(2) reports about a file system, in bytes.
type space struct {
	total, free int64
	memory      bool // it is a tmpfs
}

// limit returns how many bytes removed files may hold of a file system on which they hold held bytes now.
func (s space) limit(held int64) int64 {
	most := s.total / heldShare
	if s.memory {
		most = min(most, heldMemory)
	}
	if short := min(s.total/heldFloor, heldFloorMost) - s.free; short > 0 {
		most = min(most, max(0, held-short))
	}
	return most
}

// spaceOf returns the space of the file system of an open file.
func spaceOf(c content) (space, error) {
	fd, err := descriptor(c)
	if err != nil {
		return space{}, err
	}
	var s unix.Statfs_t
	if err := unix.Fstatfs(fd, &s); err != nil {
		return space{}, err
	}
	block := int64(s.Bsize)
	return space{int64(s.Blocks) * block, int64(s.Bavail) * block, s.Type == tmpfsMagic}, nil
}

// heldFile is a file that was removed and has not been read to its end.
type heldFile struct {
	origin     *origin
	generation *generation
}

// spaceAnswer is a file system's answer, which is valid once answered is closed.
type spaceAnswer struct {
	answered chan struct{}
	space    space
	err      error
}

// spaceFor returns the space of the file system dev, which c is a file of. If the file system does not answer in time, it is not
// asked again before it has answered.
func (t *Tailer) spaceFor(dev uint64, c content) (space, error) {
	if asked := t.asked[dev]; asked != nil {
		select {
		case <-asked.answered: // the answer is outdated
		default:
			return space{}, errNoAnswer
		}
	}
	asked := &spaceAnswer{answered: make(chan struct{})}
	t.asked[dev] = asked
	ask := t.space
	go func() {
		asked.space, asked.err = ask(c)
		close(asked.answered)
	}()
	timer := time.NewTimer(t.patience)
	defer timer.Stop()
	select {
	case <-asked.answered:
		delete(t.asked, dev)
		return asked.space, asked.err
	case <-timer.C:
		return space{}, errNoAnswer
	}
}

// limitHeld gives up removed files that are not read yet, each time the oldest of the origin that holds most: first on each file
// system while they hold more of it than they may, then while all together hold more than MaxDeleted.
func (t *Tailer) limitHeld(now time.Time) {
	byDevice := map[uint64][]heldFile{}
	total := int64(0)
	for _, o := range *t.list.Load() {
		if !o.step.TryLock() {
			continue // its files are not given up before its file system answers
		}
		holds := false
		for g := range o.active {
			if g.Links == 0 && g.body != nil {
				byDevice[g.Dev] = append(byDevice[g.Dev], heldFile{o, g})
				total += g.Blocks
				holds = true
			}
		}
		if holds {
			defer o.step.Unlock() // nearly all origins hold nothing and are unlocked at once
		} else {
			o.step.Unlock()
		}
	}
	var kept []heldFile
	for dev, files := range byDevice {
		s, err := t.spaceFor(dev, files[0].generation.body)
		if err != nil { // without an answer only the limit for all holds
			kept = append(kept, files...)
			continue
		}
		held := sum(files)
		for held > s.limit(held) && len(files) > 0 {
			i := oldestOfLargest(files)
			g := files[i].generation
			held -= g.Blocks
			s.free += g.Blocks
			total -= g.Blocks
			t.giveUp(files[i].origin, g, now, "removed, and the space of its file system was needed")
			files = slices.Delete(files, i, i+1)
		}
		kept = append(kept, files...)
	}
	for total > t.cfg.MaxDeleted && len(kept) > 0 {
		i := oldestOfLargest(kept)
		g := kept[i].generation
		total -= g.Blocks
		t.giveUp(kept[i].origin, g, now, "removed, and removed files held more than REMORA_MAX_DELETED_BYTES")
		kept = slices.Delete(kept, i, i+1)
	}
	t.mu.Lock()
	t.held = total
	t.mu.Unlock()
}

func byAge(a, b heldFile) int { return a.generation.since.Compare(b.generation.since) }

func sum(files []heldFile) (total int64) {
	for _, f := range files {
		total += f.generation.Blocks
	}
	return total
}

// oldestOfLargest returns the oldest file of the origin that holds most.
func oldestOfLargest(files []heldFile) int {
	held := map[*origin]int64{}
	for _, f := range files {
		held[f.origin] += f.generation.Blocks
	}
	best := 0
	for i, f := range files {
		b := files[best]
		if held[f.origin] > held[b.origin] || f.origin == b.origin && byAge(f, b) < 0 {
			best = i
		}
	}
	return best
}

// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// heldShare is which part of a file system removed files may hold, and heldFloor which part of it must stay free for
	// the application. What an application removes, it removes to have the space.
	heldShare, heldFloor = 4, 8
	// heldFloorMost bounds that part: of a large disk so much is enough to act in time.
	heldFloorMost = 1 << 30
	// heldMemory bounds what removed files may hold of a tmpfs, in bytes: that is memory of the Pod, whose limit is not
	// known here, and whose containers are killed over it.
	heldMemory = 64 << 20
	tmpfsMagic = 0x01021994 // statfs(2)
)

// space is what statfs(2) tells of a file system, in bytes.
type space struct {
	total, free int64
	memory      bool // it is a tmpfs
}

// limit is how many bytes removed files may hold of a file system on which they hold held now.
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

// spaceOf asks for the file system of an open file.
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

// heldFile is a file that was removed and is still to be read.
type heldFile struct {
	origin     *origin
	generation *generation
}

// spaceAnswer is what a file system says, once answered is closed.
type spaceAnswer struct {
	answered chan struct{}
	space    space
	err      error
}

// spaceFor asks the file system dev, which c is a file of. It may not answer: it is waited for once, and not asked again until
// it has returned.
func (t *Tailer) spaceFor(dev uint64, c content) (space, error) {
	if asked := t.asked[dev]; asked != nil {
		select {
		case <-asked.answered: // what it says now is from another time
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

// limitHeld gives up removed files that are not read yet, each time the oldest of the origin that holds most: of a file system
// while they hold more of it than they may, and then while all together hold more than they may.
func (t *Tailer) limitHeld(now time.Time) {
	byDevice := map[uint64][]heldFile{}
	total := int64(0)
	for _, o := range *t.list.Load() {
		if !o.step.TryLock() {
			continue // what it holds is not given up until its file system answers
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
			defer o.step.Unlock() // those that hold nothing, nearly all, cost no more than the look
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

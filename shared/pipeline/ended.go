// SPDX-License-Identifier: Apache-2.0

package pipeline

import "slices"

// Ended is what feeds of one container, declaration and output counted that are done, where no such feed is left: a file
// that was read to its end, a container that has ended.
type Ended struct {
	Writer, Container, Declaration, Target, Output string
	Counts                                         Counts
}

// maxEnded bounds how many are remembered; the oldest are forgotten first. One takes about 400 bytes.
const maxEnded = 1000

// endedFeeds remembers them, the oldest first. Pipeline.mu guards it.
type endedFeeds struct{ all []Ended }

func (e *endedFeeds) find(writer, declaration, output string) int {
	return slices.IndexFunc(e.all, func(of Ended) bool {
		return of.Writer == writer && of.Declaration == declaration && of.Output == output
	})
}

// keep remembers counts, those of earlier feeds included.
func (e *endedFeeds) keep(of Ended) {
	of.Counts.Add(e.take(of.Writer, of.Declaration, of.Output))
	if of.Counts == (Counts{}) {
		return
	}
	if len(e.all) >= maxEnded {
		e.all = slices.Delete(e.all, 0, 1)
	}
	e.all = append(e.all, of)
}

// take returns what is remembered, for a feed that continues to count, and forgets it.
func (e *endedFeeds) take(writer, declaration, output string) Counts {
	at := e.find(writer, declaration, output)
	if at < 0 {
		return Counts{}
	}
	counts := e.all[at].Counts
	e.all = slices.Delete(e.all, at, at+1)
	return counts
}

// Ended returns what is remembered of feeds that are done, the oldest first.
func (p *Pipeline) Ended() []Ended {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.endedFeeds.all)
}

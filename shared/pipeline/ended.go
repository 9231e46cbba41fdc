// SPDX-License-Identifier: Apache-2.0

package pipeline

import "slices"

// Ended is what feeds of one container, declaration and output counted, once none of them is left: the container has ended,
// for instance, or its file was read to its end.
type Ended struct {
	Writer, Container, Declaration, Target, Output string
	Counts                                         Counts
}

// maxEnded bounds how many Ended are kept; the oldest are dropped first. One takes about 400 bytes.
const maxEnded = 1000

// endedFeeds holds the counts of ended feeds, the oldest first. Pipeline.mu guards it.
type endedFeeds struct{ all []Ended }

func (e *endedFeeds) find(writer, declaration, output string) int {
	return slices.IndexFunc(e.all, func(of Ended) bool {
		return of.Writer == writer && of.Declaration == declaration && of.Output == output
	})
}

// keep adds counts to those of earlier feeds.
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

// take removes and returns counts, for a feed that continues them.
func (e *endedFeeds) take(writer, declaration, output string) Counts {
	at := e.find(writer, declaration, output)
	if at < 0 {
		return Counts{}
	}
	counts := e.all[at].Counts
	e.all = slices.Delete(e.all, at, at+1)
	return counts
}

// Ended returns the counts of feeds that are done, the oldest first.
func (p *Pipeline) Ended() []Ended {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.endedFeeds.all)
}

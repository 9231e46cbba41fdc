// SPDX-License-Identifier: Apache-2.0

package pipeline

import "slices"

// Past is what feeds of one container, declaration and output counted that are done, where no such feed is left: a file
// that was read to its end, a container that has ended.
type Past struct {
	Writer, Container, Declaration, Target, Output string
	Counts                                         Counts
}

// maxPast bounds how many are remembered; the oldest are forgotten first. One takes about 400 bytes.
const maxPast = 1000

// past is guarded by Pipeline.mu.
type past struct{ all []Past }

func (p *past) find(writer, declaration, output string) int {
	return slices.IndexFunc(p.all, func(of Past) bool {
		return of.Writer == writer && of.Declaration == declaration && of.Output == output
	})
}

// keep remembers counts, those of earlier feeds included.
func (p *past) keep(of Past) {
	of.Counts.Add(p.take(of.Writer, of.Declaration, of.Output))
	if of.Counts == (Counts{}) {
		return
	}
	if len(p.all) >= maxPast {
		p.all = slices.Delete(p.all, 0, 1)
	}
	p.all = append(p.all, of)
}

// take returns what is remembered, for a feed that continues to count, and forgets it.
func (p *past) take(writer, declaration, output string) Counts {
	at := p.find(writer, declaration, output)
	if at < 0 {
		return Counts{}
	}
	counts := p.all[at].Counts
	p.all = slices.Delete(p.all, at, at+1)
	return counts
}

// Past returns what is remembered of feeds that are done, the oldest first.
func (p *Pipeline) Past() []Past {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.past.all)
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"sync"
	"time"
)

// probeTimeout bounds how long find waits for a volume: a network file system whose server is gone never answers.
const probeTimeout = 200 * time.Millisecond

var errSilent = errors.New("its file system does not answer")

// prober resolves paths whose file system may never answer. At most one goroutine waits for each path. The zero value is ready
// to use.
type prober struct {
	mu      sync.Mutex
	waiting map[string]bool // paths that have not answered yet
}

// place is the result of resolving a path of the host.
type place struct {
	seen  string // the path without links, as the agent sees it
	links []link // the links that were followed
	isDir bool
}

// find resolves a path of the host. It fails with errSilent if the file system does not answer within probeTimeout, or has not
// answered an earlier call yet.
func (l *prober) find(h host, path string) (place, error) {
	type answer struct {
		place
		err error
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting[path] {
		return place{}, errSilent
	}
	answers := make(chan answer, 1)
	go func() {
		var a answer
		a.seen, a.links = h.resolve(path)
		var info os.FileInfo
		if info, a.err = os.Lstat(a.seen); a.err == nil {
			a.isDir = info.IsDir()
		}
		answers <- a
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.waiting, path)
	}()
	timeout := time.NewTimer(probeTimeout)
	defer timeout.Stop()
	select {
	case a := <-answers:
		return a.place, a.err
	case <-timeout.C:
		if l.waiting == nil {
			l.waiting = map[string]bool{}
		}
		l.waiting[path] = true
		return place{}, errSilent
	}
}

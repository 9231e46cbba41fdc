// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/remora-logs/remora/driver/plugin"
	"github.com/remora-logs/remora/shared/capture"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/manifest"
	"github.com/remora-logs/remora/shared/spool"
	"github.com/remora-logs/remora/shared/telemetry"
)

// stopTimeout bounds how long StopLogging waits for the FIFO's end, below the five seconds that are promised.
const stopTimeout = 4500 * time.Millisecond

// sessions are the FIFOs under capture. A session begins with StartLogging, or when a restarted plugin finds its
// journal, and ends with StopLogging, or when the FIFO's writer is gone.
type sessions struct {
	*driver
	dialect *declare.Dialect
	host    string

	resumed chan struct{} // closed once all that an earlier process left is under capture again

	mu     sync.Mutex
	active map[string]*session // by the FIFO's name, which the engine makes at random
}

type session struct {
	capture  *capture.Capture
	problems []telemetry.Problem
}

func newSessions(d *driver) *sessions {
	return &sessions{driver: d, dialect: d.delivery.Dialect(), host: d.settings.HostName(),
		resumed: make(chan struct{}), active: map[string]*session{}}
}

// Start implements plugin.Logs. It is done when the journal is durable and the FIFO is being read.
func (s *sessions) Start(file string, info plugin.Info) error {
	name := filepath.Base(file)
	if !s.reserve(name) {
		return nil // the engine asks again when it did not get the answer
	}
	j, problems := s.journal(file, info)
	if err := s.begin(name, j, problems); err != nil {
		s.forget(name)
		return err
	}
	return nil
}

// reserve takes a FIFO's name, so that it is begun once.
func (s *sessions) reserve(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active[name] != nil {
		return false
	}
	s.active[name] = &session{}
	return true
}

func (s *sessions) forget(name string) {
	s.mu.Lock()
	delete(s.active, name)
	s.mu.Unlock()
}

func (s *sessions) begin(name string, j *manifest.Manifest, problems []telemetry.Problem) error {
	encoded, err := j.Encode()
	if err != nil {
		return err
	}
	options := s.logOptions(j, nil)
	l, err := s.spool.Create(manifest.Key(j.Container, j.Started), encoded, options)
	for errors.Is(err, spool.ErrExists) { // the clock was set back
		j.Started = j.Started.Add(time.Nanosecond)
		l, err = s.spool.Create(manifest.Key(j.Container, j.Started), encoded, options)
	}
	if err != nil {
		return err
	}
	if err := s.capture(name, j.File, l, false, problems); err != nil {
		l.Finish()
		return err
	}
	s.attach(l, j)
	return nil
}

// capture begins to read the FIFO.
func (s *sessions) capture(name, file string, l *spool.Log, resumed bool, problems []telemetry.Problem) error {
	c, err := capture.Start(file, l, capture.Options{
		Interval: s.settings.CaptureInterval, Resumed: resumed, Log: s.log, Gone: func() { s.forget(name) },
	})
	if err != nil {
		return fmt.Errorf("FIFO can't be opened: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active[name] != nil { // else its writer has gone already
		s.active[name] = &session{c, problems}
	}
	return nil
}

// Stop implements plugin.Logs.
func (s *sessions) Stop(file string) {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	name := filepath.Base(file)
	found := s.take(name)
	if found == nil {
		// The engine may be quicker than we are with what an earlier process left; what is in its FIFO must not be lost.
		select {
		case <-s.resumed:
		case <-ctx.Done():
		}
		found = s.take(name)
	}
	if found == nil || found.capture == nil {
		s.log.Debug("StopLogging for a FIFO that is not being captured", "fifo", file)
		return
	}
	if err := found.capture.Stop(ctx); err != nil {
		s.log.Warn("FIFO not drained in time; it is drained in the background", "fifo", file, "error", err)
	}
}

// take takes a session off the books; nil where there is none.
func (s *sessions) take(name string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.active[name]
	delete(s.active, name)
	return found
}

// leave drains all FIFOs once and stops capturing, without ending the streams.
func (s *sessions) leave(timeout time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	s.mu.Lock()
	active := slices.Collect(maps.Values(s.active))
	s.mu.Unlock()
	var all sync.WaitGroup
	for _, one := range active {
		if one.capture != nil {
			all.Go(func() { _ = one.capture.Leave(ctx) }) // what is not drained waits in the FIFO
		}
	}
	all.Wait()
}

func (s *sessions) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.active)
}

func (s *sessions) problems() []telemetry.Problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []telemetry.Problem
	for _, name := range slices.Sorted(maps.Keys(s.active)) {
		all = append(all, s.active[name].problems...)
	}
	return all
}

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

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/driver/plugin"
	"github.com/remora-logs/remora/shared/capture"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/deliver"
	"github.com/remora-logs/remora/shared/manifest"
	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/spool"
	"github.com/remora-logs/remora/shared/telemetry"
)

const (
	// stopTimeout bounds how long StopLogging waits for the end of the FIFO. The documented bound is five seconds.
	stopTimeout = 4500 * time.Millisecond
	// retryInterval is the delay before another attempt to open a FIFO for which no descriptor was left.
	retryInterval = time.Second
)

// sessions holds the FIFOs that are captured. A session begins with StartLogging, or when a restarted plugin finds its
// manifest, and ends with StopLogging, or when the FIFO's writer is gone.
type sessions struct {
	*driver
	routes  *deliver.Spooled
	dialect *declare.Dialect
	host    string

	resumed chan struct{} // closed once resume has returned

	mu     sync.Mutex          // guards the fields below and the sessions in active
	active map[string]*session // by the FIFO's name, which the engine chooses at random
}

// session is one FIFO. capture is nil until the FIFO is open; while the process has no descriptor left, it stays nil.
type session struct {
	container string // its name
	file      string
	log       *spool.Log
	capture   *capture.Capture
	opening   sync.Mutex // held while the FIFO is opened
	begun     bool       // the FIFO is open, or retry will open it
	resumed   bool       // an earlier process captured the FIFO
	// adopted is set if the manifest is lost: a StartLogging for the FIFO replaces the stand-in.
	adopted  bool
	problems []telemetry.Problem
}

func newSessions(d *driver) *sessions {
	return &sessions{driver: d, routes: d.delivery.Spooled(deliver.Frames, d.settings.PartialTimeout), dialect: d.delivery.Dialect(), host: d.settings.HostName(),
		resumed: make(chan struct{}), active: map[string]*session{}}
}

// Start implements plugin.Logs. It returns once the manifest is durable and the FIFO is open. If the process has no descriptor
// left, the FIFO is opened later.
func (s *sessions) Start(file string, info plugin.Info) error {
	name := filepath.Base(file)
	s.disown(name)
	m, found := s.manifestOf(file, info)
	one := &session{file: file, container: m.name(), problems: found}
	if !s.reserve(name, one) {
		return nil // the engine repeats a request whose answer it did not receive
	}
	if err := s.begin(name, one, m); err != nil {
		s.unreserve(name, one)
		return err
	}
	return nil
}

// reserve adds a session under its FIFO's name. It reports false if the FIFO has one.
func (s *sessions) reserve(name string, one *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active[name] != nil {
		return false
	}
	s.active[name] = one
	return true
}

func (s *sessions) unreserve(name string, one *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active[name] == one {
		delete(s.active, name)
	}
}

// disown stops the stand-in session of a FIFO whose manifest was lost: StartLogging now names its container.
func (s *sessions) disown(name string) {
	s.mu.Lock()
	adopted := s.active[name] != nil && s.active[name].adopted
	s.mu.Unlock()
	if !adopted {
		return
	}
	<-s.resumed // the session is complete then
	if one := s.take(name); one != nil {
		s.stopOne(one)
	}
}

// begin creates the log of a container and starts its capture and delivery.
func (s *sessions) begin(name string, one *session, m *containerManifest) error {
	encoded, err := m.encode()
	if err != nil {
		return err
	}
	key := manifest.Key(m.Container, m.Started)
	l, err := s.spool.Create(key, encoded, s.logOptions(key, m))
	for errors.Is(err, spool.ErrExists) { // the clock was set back
		m.Started = m.Started.Add(time.Nanosecond)
		key = manifest.Key(m.Container, m.Started)
		l, err = s.spool.Create(key, encoded, s.logOptions(key, m))
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	one.log = l
	s.mu.Unlock()
	if err := s.capture(name, one); err != nil {
		l.Finish()
		return err
	}
	s.attach(l, m)
	return nil
}

// capture opens the FIFO. If no descriptor is left, it schedules a retry and returns nil, so that the container can start.
func (s *sessions) capture(name string, one *session) (err error) {
	defer func() {
		s.mu.Lock()
		one.begun = err == nil
		s.mu.Unlock()
	}()
	err = s.open(name, one)
	if outOfDescriptors(err) {
		s.spool.ReleaseDescriptors()
		err = s.open(name, one)
	}
	if outOfDescriptors(err) {
		notice.FIFONoDescriptor.Log(s.log,
			"container", one.container, "fifo", one.file, "error", err)
		time.AfterFunc(retryInterval, func() { s.retry(name, one) })
		return nil
	}
	return err
}

func outOfDescriptors(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}

// open opens the FIFO of a session and begins to capture it, unless that was done before: a retry and the end of the container may
// come at once, and two readers would tear the frames.
func (s *sessions) open(name string, one *session) error {
	one.opening.Lock()
	defer one.opening.Unlock()
	if s.captureOf(one) != nil {
		return nil
	}
	c, err := capture.Start(one.file, one.log, capture.Options{
		Interval: s.settings.CaptureInterval, Resumed: one.resumed, Log: s.log,
		OrphanReason: "container ended while Remora was not running",
		WriterGone:   func() { s.unreserve(name, one) },
	})
	if err != nil {
		return fmt.Errorf("FIFO can't be opened: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	one.capture = c
	return nil
}

// captureOf returns the capture of a session, or nil if its FIFO is not open.
func (s *sessions) captureOf(one *session) *capture.Capture {
	s.mu.Lock()
	defer s.mu.Unlock()
	return one.capture
}

// retry opens a FIFO for which no descriptor was left.
func (s *sessions) retry(name string, one *session) {
	s.mu.Lock()
	wanted := s.active[name] == one
	s.mu.Unlock()
	if !wanted {
		return
	}
	err := s.open(name, one)
	switch {
	case err == nil:
		s.log.Info("opened a container's FIFO", "container", one.container, "fifo", one.file)
		s.mu.Lock()
		stopped := s.active[name] != one
		s.mu.Unlock()
		if stopped { // meanwhile
			s.stopOne(one)
		}
	case outOfDescriptors(err):
		time.AfterFunc(retryInterval, func() { s.retry(name, one) })
	default:
		notice.CaptureFailed.Log(s.log, "container", one.container, "error", err)
		s.unreserve(name, one)
		one.log.Finish()
	}
}

// Stop implements plugin.Logs.
func (s *sessions) Stop(file string) {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	name := filepath.Base(file)
	found := s.take(name)
	if found == nil {
		// The request may precede the resumption of a FIFO of an earlier process, whose content must not be lost.
		select {
		case <-s.resumed:
		case <-ctx.Done():
		}
		found = s.take(name)
	}
	if found == nil {
		s.log.Debug("StopLogging for a FIFO that is not being captured", "fifo", file)
		return
	}
	s.stopWithin(ctx, found)
}

func (s *sessions) stopOne(one *session) {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	s.stopWithin(ctx, one)
}

// stopWithin drains a FIFO to its end. The caller has removed the session from active.
func (s *sessions) stopWithin(ctx context.Context, one *session) {
	c := s.captureOf(one)
	if c == nil { // no descriptor was left for it
		if s.open("", one) != nil {
			one.log.AddUnknownGap("no file descriptors left")
			one.log.Finish()
			return
		}
		c = s.captureOf(one)
	}
	if err := c.Stop(ctx); err != nil {
		notice.FIFONotDrained.Log(s.log, "fifo", one.file, "error", err)
	}
}

// take removes a session from active and returns it. It returns nil if there is none, or if its capture has not begun.
func (s *sessions) take(name string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.active[name]
	if found == nil || !found.begun {
		return nil
	}
	delete(s.active, name)
	return found
}

// suspend drains all FIFOs and stops capturing, without ending the streams.
func (s *sessions) suspend(timeout time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	s.mu.Lock()
	var captures []*capture.Capture
	for _, one := range s.active {
		if one.capture != nil {
			captures = append(captures, one.capture)
		}
	}
	s.mu.Unlock()
	var all sync.WaitGroup
	for _, c := range captures {
		all.Go(func() { _ = c.Suspend(ctx) }) // the rest waits in the FIFO
	}
	all.Wait()
}

func (s *sessions) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.active)
}

// problems returns the problems of the captured containers and of their declarations.
func (s *sessions) problems() []telemetry.Problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []telemetry.Problem
	for _, name := range slices.Sorted(maps.Keys(s.active)) {
		one := s.active[name]
		all = append(all, one.problems...)
		if one.log == nil {
			continue
		}
		if since := one.log.HeldUpSince(); !since.IsZero() {
			all = append(all, telemetry.Problem{Container: one.container, Key: whenFullOption, Warning: true,
				Message: "held up since " + since.UTC().Format(time.RFC3339) + ": the spool is full, and the policy is block"})
		}
		if one.capture == nil {
			all = append(all, telemetry.Problem{Container: one.container, Key: "fifo",
				Message: "not captured: the process has no file descriptor left"})
		}
	}
	return all
}

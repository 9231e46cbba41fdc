// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/manifest"
	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/origin"
	"github.com/remora-logs/remora/shared/spool"
)

// engineFIFOs is where the engine creates a plugin's FIFOs (moby daemon/logger/plugin.go).
const engineFIFOs = "/run/docker/logging"

// resume continues the streams of an earlier process: it reads on from the FIFOs that still exist, and delivers the rest of
// the other streams.
func (s *sessions) resume() {
	defer close(s.resumed)
	stored, err := s.spool.Stored()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		notice.SpoolDamaged.Log(s.log, "error", err)
	}
	dir, lost := engineFIFOs, 0
	for _, found := range stored {
		m, err := decodeManifest(found.Manifest)
		var newer *manifest.NewerError
		if errors.As(err, &newer) {
			notice.SpoolStreamNewer.Log(s.log, "stream", found.Key, "error", err)
			lost++ // adopt captures its FIFO into another stream
			continue
		}
		if err != nil {
			m = s.standIn(found.Key)
			lost++
		} else {
			dir = filepath.Dir(m.File)
		}
		if err := s.resumeOne(found, m); err != nil {
			notice.SpoolStreamNotResumed.Log(s.log, "stream", found.Key, "error", err)
		}
	}
	if lost > 0 {
		s.adopt(dir)
	}
	if len(stored) > 0 {
		s.log.Info("resumed the streams of an earlier process", "streams", len(stored), "captures", s.count())
	}
}

func (s *sessions) resumeOne(found spool.Stored, m *containerManifest) error {
	l, err := s.spool.Resume(found.Key, s.logOptions(found.Key, m))
	if err != nil {
		return err
	}
	if !found.Ended {
		s.resumeCapture(l, m)
	}
	s.attach(l, m)
	return nil
}

// resumeCapture reads a FIFO from where the earlier process stopped. If the FIFO is gone, the container has ended
// meanwhile, and what the FIFO held is lost.
func (s *sessions) resumeCapture(l *spool.Log, m *containerManifest) {
	if m.File == "" {
		l.Finish() // adopt captures its FIFO into a new stream
		return
	}
	name := filepath.Base(m.File)
	one := &session{container: m.name(), file: m.File, log: l, resumed: true}
	if !s.reserve(name, one) {
		return
	}
	if err := s.capture(name, one); err != nil {
		s.unreserve(name, one)
		notice.FIFOGone.Log(s.log,
			"stream", l.Key(), "container", m.Container, "error", err)
		l.AddUnknownGap("container ended while Remora was not running")
		l.Finish()
	}
}

// standIn returns a manifest for a log whose own is damaged. It takes the beginning of the container's ID and the time of its
// start from the log's key, and collects the container as if it declared nothing.
func (s *sessions) standIn(key string) *containerManifest {
	id, started := key, time.Now()
	if at := strings.LastIndexByte(key, '-'); at >= 0 {
		id = key[:at]
		if ns, err := strconv.ParseInt(key[at+1:], 36, 64); err == nil {
			started = time.Unix(0, ns)
		}
	}
	set := s.dialect.Read(declare.Input{DefaultTarget: s.settings.DefaultTarget})
	c := origin.Container{ID: id}
	return &containerManifest{Container: id, Started: started, Origin: c.Tags(s.host, ""), Declarations: set.Declarations}
}

// adopt captures the FIFOs in dir whose manifests are damaged: otherwise their containers would block once the pipe is full.
// The engine names FIFOs at random, so that the container of a FIFO is not known. A later StartLogging for the FIFO replaces
// the stand-in.
func (s *sessions) adopt(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		notice.FIFONotFound.Log(s.log, "directory", dir, "error", err)
		return
	}
	for _, e := range entries {
		st, err := e.Info()
		if err != nil || st.Mode()&fs.ModeNamedPipe == 0 {
			continue
		}
		m := s.standIn("unknown")
		m.File = filepath.Join(dir, e.Name())
		one := &session{container: m.name(), file: m.File, resumed: true, adopted: true}
		if !s.reserve(e.Name(), one) {
			continue
		}
		if err := s.begin(e.Name(), one, m); err != nil {
			s.unreserve(e.Name(), one)
			notice.FIFONotCaptured.Log(s.log, "fifo", m.File, "error", err)
			continue
		}
		notice.CapturedWithoutTags.Log(s.log, "fifo", m.File)
	}
}

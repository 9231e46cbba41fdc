// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/remora-logs/remora/shared/deliver"
	"github.com/remora-logs/remora/shared/spool"
)

// logOptions returns the options of a container's log. Its views begin at their checkpoints.
func (s *sessions) logOptions(key string, m *containerManifest) spool.LogOptions {
	o := spool.LogOptions{MaxBytes: s.settings.SpoolMaxEach, BlockTimeout: s.settings.BlockTimeout}
	o.WhenFull, _ = spool.ParsePolicy(s.settings.WhenFull) // checked when settings were read
	if m.WhenFull != "" {
		o.WhenFull, _ = spool.ParsePolicy(m.WhenFull) // checked when the container was started
	}
	if m.BlockTimeout > 0 {
		o.BlockTimeout = m.BlockTimeout
	}
	if s.settings.ReadLogs {
		o.History = s.settings.HistoryBytes
	}
	views := s.routes.Views
	if m.File == "" { // a stand-in for a lost manifest
		views = s.routes.StandInViews
	}
	o.Views, o.Former = views(key, m.Declarations)
	return o
}

// attach starts the delivery of a log.
func (s *sessions) attach(l *spool.Log, m *containerManifest) {
	s.routes.Attach(l, deliver.Writer{Declarations: m.Declarations, Tags: m.Tags, Origin: m.Origin})
}

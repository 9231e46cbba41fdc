// SPDX-License-Identifier: Apache-2.0

// Package loggers is the node agent's side of logging binaries: it reads the spool that they write, frees its space,
// publishes the limits on its size, and holds the descriptors of their containers.
package loggers

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/remora-logs/remora/shared/manifest"
	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/spool"
)

const (
	// refreshInterval is how often each log is checked for new bytes, scanInterval how often the spool is scanned for new logs.
	refreshInterval = 50 * time.Millisecond
	scanInterval    = 500 * time.Millisecond
	// orphanAfter is how long a log must have no writer before it is ended. A process that takes over needs less.
	orphanAfter = 5 * time.Second
)

// Options configure a Source.
type Options struct {
	// Dir is the spool's directory.
	Dir string
	// Logger is the path of the logging binary, which is started to capture a container whose logger has died.
	Logger string
	// Limits are published to the logging binaries; Limits.Stored is filled in.
	Limits spool.Limits
	// History is as in spool.LogOptions.
	History int64
	// Views returns the views of a container's log and where each begins, as in spool.LogOptions. It returns none for a
	// container that is not collected.
	Views func(key string, c *manifest.Container) (views, former map[string]int64)
	// Attach starts the delivery of a log. If the manifest is damaged, c is a stand-in that holds only the key.
	Attach func(l *spool.Log, c *manifest.Container)
	// Ask asks containerd about the container of a new log, before Views and Attach are called with the answer in c. It may be
	// nil.
	Ask Ask
	// Exited reports whether the container's first process has ended. It may be nil.
	Exited func(c *manifest.Container) bool
	// Evicted is as in spool.Options.
	Evicted func(l *spool.Log, lost spool.Evicted)
	Log     *slog.Logger
}

// Source is the spool of a node's logging binaries.
type Source struct {
	opt   Options
	spool *spool.Spool
	agent Agent

	losses losses

	// The fields below are used only by the goroutine that runs Run.
	questions *questions
	failed    map[string]bool      // logs that cannot be opened, for which that was logged
	silents   map[string]time.Time // since when a log that has not ended has no writer
	tails     map[string]*tail     // of the logs that are delivered
}

// Open opens the spool and creates it if it does not exist.
func Open(o Options) (*Source, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	s := &Source{opt: o, questions: newQuestions(o.Dir, o.Ask, o.Log), failed: map[string]bool{}, silents: map[string]time.Time{},
		tails: map[string]*tail{}}
	s.spool = spool.Open(spool.Options{Dir: o.Dir, Role: spool.Reader, MaxBytes: o.Limits.MaxBytes, MinFree: o.Limits.MinFree,
		SyncInterval: time.Second, Log: o.Log, Evicted: o.Evicted})
	s.agent = Agent{Dir: o.Dir, Hold: s.hold, Log: o.Log, Ended: func(key string) bool { return spool.Ended(o.Dir, key) },
		Lost: s.losses.add}
	return s, nil
}

// Spool returns the spool, for the status and for reading a container's log.
func (s *Source) Spool() *spool.Spool { return s.spool }

// Held returns the number of containers whose capture can continue if their logger dies.
func (s *Source) Held() int { return s.agent.Held() }

// Run follows the spool until ctx ends.
func (s *Source) Run(ctx context.Context) error {
	var agent sync.WaitGroup
	agent.Go(func() {
		if err := s.agent.Run(ctx); err != nil {
			notice.LoggersNotServed.Log(s.opt.Log, "error", err)
		}
	})
	refresh, scan := time.NewTicker(refreshInterval), time.NewTicker(scanInterval)
	defer refresh.Stop()
	defer scan.Stop()
	s.scan(ctx)
	for {
		select {
		case <-ctx.Done():
			agent.Wait()
			return s.spool.Close(context.WithoutCancel(ctx))
		case <-scan.C:
			s.scan(ctx)
		case <-s.questions.answers:
			s.scan(ctx)
		case <-refresh.C:
			s.refresh()
		}
	}
}

// refresh makes each log notice the bytes that were appended to it.
func (s *Source) refresh() {
	for _, l := range s.spool.Logs() {
		if err := l.Refresh(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.opt.Log.Debug("failed to read a log, retrying", "stream", l.Key(), "error", err)
		}
	}
}

// scan stores pending losses, follows new logs, ends logs that have lost their writer, and publishes the limits.
func (s *Source) scan(ctx context.Context) {
	s.losses.store(s.storeLoss)
	stored, err := s.spool.Stored()
	if err != nil {
		s.opt.Log.Debug("part of the spool can't be read", "error", err)
	}
	for _, found := range stored {
		s.follow(ctx, found)
	}
	for _, l := range s.spool.Logs() {
		s.endOrphan(l)
	}
	s.endLines(time.Now())
	limits := s.opt.Limits
	limits.Stored = s.spool.StoredBytes()
	if err := spool.PublishLimits(s.opt.Dir, limits); err != nil {
		s.opt.Log.Debug("failed to publish limits", "error", err)
	}
}

func (s *Source) follow(ctx context.Context, found spool.Stored) {
	c, err := manifest.DecodeContainer(found.Manifest)
	var newer *manifest.NewerError
	if errors.As(err, &newer) {
		if !s.failed[found.Key] {
			notice.SpoolStreamNewer.Log(s.opt.Log, "stream", found.Key, "error", err)
		}
		s.failed[found.Key] = true
		return
	}
	if err != nil {
		c = &manifest.Container{Runtime: "containerd", ID: found.Key, Problems: []string{err.Error()}, Damaged: true}
	}
	if !found.Delivered && !s.questions.add(ctx, found.Key, c) {
		return
	}
	views, former := s.opt.Views(found.Key, c)
	l, err := s.spool.Follow(found.Key, spool.LogOptions{Raw: true, Views: views, Former: former,
		MaxBytes: s.opt.Limits.MaxBytesEach, History: s.opt.History})
	if err != nil {
		if !s.failed[found.Key] {
			notice.LoggerLogUnreadable.Log(s.opt.Log, "stream", found.Key, "error", err)
		}
		s.failed[found.Key] = true
		return
	}
	delete(s.failed, found.Key)
	s.tails[found.Key] = &tail{container: c}
	s.opt.Attach(l, c)
}

// endOrphan ends a log that has had no writer for orphanAfter. Either every process with the container's descriptors was killed,
// or the host has crashed, and the content of the pipes is lost; or the writer captured everything but could not mark the end.
func (s *Source) endOrphan(l *spool.Log) {
	if l.Ended() || s.agent.Holds(l.Key()) || s.spool.Written(l.Key()) {
		delete(s.silents, l.Key())
		return
	}
	since, ok := s.silents[l.Key()]
	if !ok {
		s.silents[l.Key()] = time.Now()
		return
	}
	if time.Since(since) < orphanAfter {
		return
	}
	delete(s.silents, l.Key())
	w, err := spool.OpenWriter(spool.Options{Dir: s.opt.Dir, MaxBytes: s.opt.Limits.MaxBytes, Log: s.opt.Log}).
		Write(l.Key(), nil, spool.LogOptions{Raw: true, MaxBytes: s.opt.Limits.MaxBytesEach})
	if err == nil && !w.EndNoted() {
		err = w.AddLoss(0, 0, "logger was killed")
	}
	if w != nil {
		err = errors.Join(err, w.EndWriter())
	}
	if err != nil {
		notice.LoggerNotEnded.Log(s.opt.Log, "stream", l.Key(), "error", err)
	}
}

// hold starts a logging binary that captures a container from descriptors that this process holds. The binary runs in a session
// of its own, so that it outlives this process.
func (s *Source) hold(key string, files [2]*os.File, exited func(finished bool)) error {
	cmd := exec.Command(s.opt.Logger, "--hold", s.opt.Dir, key)
	cmd.Env, cmd.ExtraFiles = []string{}, files[:]
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { exited(cmd.Wait() == nil) }()
	return nil
}

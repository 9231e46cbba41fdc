// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/capture"
	"github.com/remora-logs/remora/shared/handover"
	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/spool"
)

const (
	defaultSpool = "/var/lib/remora/containerd"
	interval     = 2 * time.Millisecond
	// lockInterval is how often a standby process tries to take over the capture.
	lockInterval = 50 * time.Millisecond
)

// captureContainer captures the container for which the shim has started this process.
func captureContainer(args []string) error {
	unix.CloseOnExec(readyFD)
	log := logger()
	options, unknown := parseArguments(args)
	m := describe(options, ".")
	for _, name := range unknown {
		m.Problems = append(m.Problems, fmt.Sprintf("parameter %q is not known", name))
	}
	dir := options.spool
	encoded, err := m.Encode()
	if err != nil {
		return err
	}
	key := m.Key()
	p := pipes(log)
	p.Sole = true
	p.Open = func() (*spool.Log, error) { return openLog(dir, key, encoded, options, log) }
	p.Ready()
	ready()
	p.Offer = handover.NewOffer(dir, key, [2]int{stdoutFD, stderrFD})
	return runPipes(p, encoded)
}

// runPipes captures to the end. If the log could never be opened, it reports to the agent how much was discarded.
func runPipes(p *capture.Pipes, manifest []byte) error {
	err := p.Run()
	if lost := (*capture.LostError)(nil); errors.As(err, &lost) && lost.Bytes > 0 {
		if told := p.Offer.SendLoss(handover.Loss{Bytes: lost.Bytes, Lines: lost.Lines, Manifest: manifest}); told != nil {
			p.Log.Debug("the agent does not know what was discarded", "error", told)
		}
	}
	return err
}

// hold takes over the capture of a container whose logger has died. It waits while another process captures or may capture it.
func hold(dir, key string) error {
	if !isPipe(stdoutFD) || !isPipe(stderrFD) {
		return fmt.Errorf("%w: descriptors 3 and 4 are not a container's streams", errUsage)
	}
	p := pipes(logger())
	p.Open = func() (*spool.Log, error) { return openLog(dir, key, nil, options{}, p.Log) }
	p.Offer = handover.NewOffer(dir, key, [2]int{stdoutFD, stderrFD})
	for !spool.Ended(dir, key) {
		if p.Ended() && !spool.Exists(dir, key) {
			return nil // the log was delivered and removed
		}
		p.Offer.Step()
		if p.Ready(); !p.Locked() {
			// While the spool cannot be opened, Run discards the output, so that the container does not block.
			if err := runPipes(p, nil); !errors.Is(err, spool.ErrLocked) {
				return err
			}
		}
		time.Sleep(lockInterval)
	}
	return nil
}

func pipes(log *slog.Logger) *capture.Pipes {
	return &capture.Pipes{
		Pipes:    []capture.Pipe{{FD: stdoutFD, Std: spool.Stdout}, {FD: stderrFD, Std: spool.Stderr}},
		Interval: interval, Log: log,
	}
}

// openLog opens the container's log. It creates the log if manifest is given.
func openLog(dir, key string, manifest []byte, o options, log *slog.Logger) (*spool.Log, error) {
	if err := prepare(dir); err != nil {
		return nil, err
	}
	limits := spool.ReadLimits(dir)
	s := spool.OpenWriter(spool.Options{Dir: dir, MaxBytes: limits.MaxBytes, MinFree: limits.MinFree, Log: log})
	lo := spool.LogOptions{Raw: true, MaxBytes: limits.MaxBytesEach, BlockTimeout: limits.BlockTimeout}
	lo.WhenFull, _ = spool.ParsePolicy(limits.WhenFull) // ReadLimits has checked it
	if o.whenFull != "" {
		lo.WhenFull, _ = spool.ParsePolicy(o.whenFull) // checked when it was parsed
	}
	if o.blockTimeout > 0 {
		lo.BlockTimeout = o.blockTimeout
	}
	return s.Write(key, manifest, lo)
}

// prepare creates the spool's directory. It refuses a directory that another user owns or may write to.
func prepare(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return &os.PathError{Op: "lstat", Path: dir, Err: err}
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("%s is not a directory", dir)
	case int(st.Uid) != unix.Geteuid():
		return fmt.Errorf("%s belongs to user %d", dir, st.Uid)
	case st.Mode&0o022 != 0:
		return fmt.Errorf("%s can be written by others (mode %#o)", dir, st.Mode&0o777)
	}
	return nil
}

// ready tells the shim that the container may start: one byte for binary-v2, the end of the pipe for binary.
func ready() {
	_, _ = unix.Write(readyFD, []byte{0}) // fails if the shim has died; the streams then end too
	unix.Close(readyFD)
}

func logger() *slog.Logger { return slog.New(slog.NewTextHandler(os.Stderr, nil)) }

// check reports whether the spool in dir can be used, in the format of the other programs' check command.
func check(dir string, out *os.File) error {
	if err := probe(dir); err != nil {
		fmt.Fprintf(out, "✗ spool %s: %v\n    Give root a directory of mode 0700, on a disk with room.\n", dir, err)
		return notice.ChecksFailed.Error(errors.New("1 of 1 checks failed"))
	}
	limits := spool.ReadLimits(dir)
	fmt.Fprintf(out, "✓ spool %s: can be used; at most %d bytes a container, %s when full\n", dir, limits.MaxBytesEach, limits.WhenFull)
	return nil
}

// probe writes a file in dir, and removes it.
func probe(dir string) error {
	if err := prepare(dir); err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, ".check-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(make([]byte, 4096))
	return errors.Join(err, file.Sync(), file.Close())
}

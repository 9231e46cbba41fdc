// SPDX-License-Identifier: Apache-2.0

package file

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/mapped"
	"github.com/remora-logs/remora/shared/output/internal/sample"
	"github.com/remora-logs/remora/shared/output/settings"
)

const (
	childDir      = "REMORA_TEST_CHILD"          // the directory of a child that is to be killed
	childForgets  = "REMORA_TEST_CHILD_FORGETS"  // it has no journal
	childUnmapped = "REMORA_TEST_CHILD_UNMAPPED" // its journal can't be mapped
	childRecords  = 40_000
	childInFlight = 3 // batches that are written before the first of them is acknowledged
)

func TestMain(m *testing.M) {
	if os.Getenv(childUnmapped) != "" {
		mapFile = mapNothing
	}
	if dir := os.Getenv(childDir); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// kill leaves what the output has as a kill of its process does.
func kill(t *testing.T, o *Output) {
	t.Helper()
	require.NoError(t, o.journal.abandon())
	for _, f := range o.files {
		require.NoError(t, f.handle.Close())
	}
	o.journal, o.files = nil, nil
}

// child writes numbered records from the first that was not acknowledged on, in batches of any size, as the pipeline does after
// a start. What it writes is acknowledged some batches later.
func child(dir string) error {
	var c Config
	if err := settings.Load(map[string]string{
		"FILE_PATH": filepath.Join(dir, "logs"), "FILE_SYNC": "false", "FILE_ROTATE_SIZE": "300", "FILE_NUMBER_OF_FILES": "1000",
	}, &c); err != nil {
		return err
	}
	o, err := Open(c)
	if err != nil {
		return err
	}
	if os.Getenv(childForgets) == "" {
		if err := o.Remember(filepath.Join(dir, "journal")); err != nil {
			return err
		}
	}
	acked, err := os.OpenFile(filepath.Join(dir, "acked"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	var number [8]byte
	_, _ = acked.ReadAt(number[:], 0) // nothing, at first
	at := int(binary.LittleEndian.Uint64(number[:]))
	source := sample.Source(1)
	var ends []int
	for at < childRecords {
		n := min(1+rand.IntN(300), childRecords-at)
		if err := o.Write(context.Background(), sample.Batch(at, at+n, source)); err != nil {
			return err
		}
		at += n
		if ends = append(ends, at); len(ends) >= childInFlight {
			binary.LittleEndian.PutUint64(number[:], uint64(ends[len(ends)-childInFlight]))
			if _, err := acked.WriteAt(number[:], 0); err != nil {
				return err
			}
		}
	}
	return o.Close()
}

// killed starts children and kills all but the last, and returns the numbers of what is in the files.
func killed(t *testing.T, kills int, environ ...string) (all []int) {
	t.Helper()
	dir := t.TempDir()
	start := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(append(os.Environ(), childDir+"="+dir), environ...)
		cmd.Stderr = os.Stderr
		require.NoError(t, cmd.Start())
		return cmd
	}
	acked := func() uint64 {
		p, _ := os.ReadFile(filepath.Join(dir, "acked"))
		return binary.LittleEndian.Uint64(append(p, make([]byte, 8)...))
	}
	for k := range kills {
		cmd := start()
		wanted := uint64((k + 1) * childRecords / (kills + 2))
		require.Eventually(t, func() bool { return acked() > wanted }, 20*time.Second, 100*time.Microsecond)
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait(), "it ended before it could be killed")
	}
	require.NoError(t, start().Wait())
	paths, err := filepath.Glob(filepath.Join(dir, "logs", "*.log*"))
	require.NoError(t, err)
	age := func(path string) int {
		n, _ := strconv.Atoi(strings.TrimPrefix(filepath.Ext(path), "."))
		return n
	}
	slices.SortFunc(paths, func(a, b string) int { return age(b) - age(a) })
	return numbers(t, paths...)
}

// A process that is killed has written some records whose acknowledgement it did not live to see. They come again, and are not
// written twice, also where the file was rotated meanwhile.
func TestNothingIsWrittenTwiceAfterKills(t *testing.T) {
	require.Equal(t, upTo(childRecords), killed(t, 12))
}

// mapNothing is mapFile on a file system that copies on write.
func mapNothing(*os.File, int64, int64) ([]byte, error) { return nil, mapped.ErrCopyOnWrite }

// A journal that can't be mapped does what one does that is.
func TestJournalsThatAreNotMapped(t *testing.T) {
	mapFile = mapNothing
	t.Cleanup(func() { mapFile = mapped.Map })
	t.Run("kills", func(t *testing.T) { require.Equal(t, upTo(childRecords), killed(t, 6, childUnmapped+"=1")) })
	t.Run("cut", TestACutBatchIsNotTakenForWritten)
	t.Run("rotate", TestABatchThatCouldNotRotateIsNotTakenForWritten)
	t.Run("lines", TestARecordOfSeveralLinesIsNotLeftInPart)
	t.Run("inode", TestAFileThatHasTheInodeOfARemovedOneIsNotCut)
	t.Run("boot", TestAJournalOfAnotherBootIsForgotten)
	t.Run("grown", TestARecordThatGrewIsWritten)
	t.Run("owner", TestAJournalHasOneOwner)
	t.Run("replaced", TestWhatAReplacedOutputWroteIsNotWrittenTwice)
}

// Where a journal can't be written, it is emptied, so that it tells nothing that is not so; where not even that can be, no record
// is written. It is whole again once it can be written.
func TestAJournalThatCannotBeWritten(t *testing.T) {
	mapFile = mapNothing
	t.Cleanup(func() { mapFile = mapped.Map })
	path := filepath.Join(t.TempDir(), "journal")
	o, dir := open(t)
	require.NoError(t, o.Remember(path))
	source := sample.Source(1)
	require.NoError(t, o.Write(t.Context(), sample.Batch(0, 5, source)))
	whole := o.journal.file

	fd, err := unix.MemfdCreate("journal", unix.MFD_ALLOW_SEALING)
	require.NoError(t, err)
	sealed := os.NewFile(uintptr(fd), "sealed")
	defer sealed.Close()
	require.NoError(t, sealed.Truncate(journalSize))
	_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE)
	require.NoError(t, err)
	o.journal.file = sealed
	require.NoError(t, o.Write(t.Context(), sample.Batch(5, 10, source)))
	info, err := sealed.Stat()
	require.NoError(t, err)
	require.Zero(t, info.Size())

	closed, err := os.Open(path)
	require.NoError(t, err)
	defer closed.Close()
	o.journal.file = closed
	require.Error(t, o.Write(t.Context(), sample.Batch(10, 20, source)))
	require.Equal(t, upTo(10), numbers(t, filepath.Join(dir, "web.log")))

	o.journal.file = whole
	require.NoError(t, o.Write(t.Context(), sample.Batch(10, 30, source)))
	kill(t, o)
	again, _ := open(t, "FILE_PATH", dir)
	require.NoError(t, again.Remember(path))
	require.NoError(t, again.Write(t.Context(), sample.Batch(0, 40, source)))
	require.NoError(t, again.Close())
	require.Equal(t, upTo(40), numbers(t, filepath.Join(dir, "web.log")))
}

// Without the journal they are: the test above can fail.
func TestWithoutAJournalAKillWritesTwice(t *testing.T) {
	require.Greater(t, len(killed(t, 2, childForgets+"=1")), childRecords)
}

// What a failed batch wrote was cut away. Its records are not taken for written once others lie in their place.
func TestACutBatchIsNotTakenForWritten(t *testing.T) {
	journal := filepath.Join(t.TempDir(), "journal")
	o, dir := open(t)
	require.NoError(t, o.Remember(journal))
	source := sample.Source(1)
	require.NoError(t, o.Write(t.Context(), sample.Batch(0, 5, source)))
	f := o.files["web.log"]
	require.NotNil(t, f, "%v", o.files)
	f.begin()
	failed := sample.Batch(5, 10, source)
	for i := range failed.Records {
		o.add(f, &failed.Records[i], i)
	}
	require.NoError(t, f.flush())
	require.Error(t, f.fail(errors.New("the disk is full")))
	require.NoError(t, o.Write(t.Context(), sample.Batch(10, 30, source)))
	kill(t, o)

	again, _ := open(t, "FILE_PATH", dir)
	require.NoError(t, again.Remember(journal))
	require.NoError(t, again.Write(t.Context(), sample.Batch(0, 30, source)))
	require.ElementsMatch(t, upTo(30), numbers(t, filepath.Join(dir, "web.log")))
}

// The same where a rotation fails within a batch.
func TestABatchThatCouldNotRotateIsNotTakenForWritten(t *testing.T) {
	journal := filepath.Join(t.TempDir(), "journal")
	limits := []string{"FILE_ROTATE_SIZE", "1", "FILE_NUMBER_OF_FILES", "2"}
	o, dir := open(t, limits...)
	require.NoError(t, o.Remember(journal))
	source := sample.Source(1)
	inTheWay := filepath.Join(dir, "web.log.1")
	require.NoError(t, os.MkdirAll(inTheWay, 0o700))
	require.Error(t, o.Write(t.Context(), sample.Batch(0, 20, source)))
	kill(t, o)

	require.NoError(t, os.Remove(inTheWay))
	again, _ := open(t, "FILE_PATH", dir)
	require.NoError(t, again.Remember(journal))
	require.NoError(t, again.Write(t.Context(), sample.Batch(0, 20, source)))
	require.Equal(t, upTo(20), numbers(t, filepath.Join(dir, "web.log")))
}

// A kill within the write of a record that has several lines leaves some of them. They are cut away, and the record comes whole:
// once, whether it is the first in its file or follows another.
func TestARecordOfSeveralLinesIsNotLeftInPart(t *testing.T) {
	for whole := range 2 {
		journal := filepath.Join(t.TempDir(), "journal")
		o, dir := open(t, "FILE_FORMAT", "raw")
		require.NoError(t, o.Remember(journal))
		b := sample.Batch(0, whole+1, sample.Source(1))
		for i := range b.Records {
			b.Records[i].Line = []byte("Exception\n\tat a\n\tat b")
		}
		require.NoError(t, o.Write(t.Context(), b))
		kill(t, o)
		path := filepath.Join(dir, "web.log")
		want, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.Truncate(path, int64(len(want)-len("\tat b\n"))))

		again, _ := open(t, "FILE_PATH", dir, "FILE_FORMAT", "raw")
		require.NoError(t, again.Remember(journal))
		require.NoError(t, again.Write(t.Context(), b))
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
	}
}

// A file that was removed, by who rotates files outside or otherwise, has left its inode to another when this process starts
// again after a kill. Nothing of that is cut away.
func TestAFileThatHasTheInodeOfARemovedOneIsNotCut(t *testing.T) {
	journal := filepath.Join(t.TempDir(), "journal")
	o, dir := open(t)
	require.NoError(t, o.Remember(journal))
	require.NoError(t, o.Write(t.Context(), sample.Batch(0, 20, sample.Source(1))))
	id := o.files["web.log"].id
	kill(t, o)
	require.NoError(t, os.Remove(filepath.Join(dir, "web.log")))
	f, err := os.Create(filepath.Join(dir, "stranger"))
	require.NoError(t, err)
	text := strings.Repeat("somebody else's\n", 100)
	_, err = f.WriteString(text)
	require.NoError(t, err)
	now, err := bornOf(f)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	if now.inode != id.inode {
		return // this file system gives numbers away once
	}
	again, _ := open(t, "FILE_PATH", dir)
	require.NoError(t, again.Remember(journal))
	got, err := os.ReadFile(f.Name())
	require.NoError(t, err)
	require.Equal(t, text, string(got))
}

// A journal of another boot is not believed: the machine may have died before the files were on the disk.
func TestAJournalOfAnotherBootIsForgotten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	batch := sample.Batch(0, 1, sample.Source(1))
	files := func() map[uint64]left { return map[uint64]left{born{inode{1, 2}, 3}.hash(): {size: 100}} }
	reopened := func(change func(p []byte)) bool {
		j, err := openJournal(path, files)
		require.NoError(t, err)
		j.note(&batch.Records[0], born{inode{1, 2}, 3}, 100)
		require.NoError(t, j.store())
		require.NoError(t, j.abandon())
		p, err := os.ReadFile(path)
		require.NoError(t, err)
		change(p)
		require.NoError(t, os.WriteFile(path, p, 0o600))
		j, err = openJournal(path, files)
		require.NoError(t, err)
		defer func() { require.NoError(t, j.close()) }()
		return j.has(&batch.Records[0])
	}
	require.True(t, reopened(func([]byte) {}))
	require.False(t, reopened(func(p []byte) { p[0]++ }))
	require.False(t, reopened(func(p []byte) { p[16]++ }))
	j, err := openJournal(path, files)
	require.NoError(t, err)
	require.False(t, j.has(&batch.Records[0]), "an output that was closed has nothing to come again")
	require.NoError(t, j.close())
}

// A message that pauses is written before its last line has come. Read again after a kill, it has that line, and is written.
func TestARecordThatGrewIsWritten(t *testing.T) {
	journal := filepath.Join(t.TempDir(), "journal")
	o, dir := open(t)
	require.NoError(t, o.Remember(journal))
	source := sample.Source(1)
	require.NoError(t, o.Write(t.Context(), sample.Batch(0, 2, source)))
	kill(t, o)

	again, _ := open(t, "FILE_PATH", dir)
	require.NoError(t, again.Remember(journal))
	b := sample.Batch(0, 2, source)
	b.Records[1].Line = append(slices.Clone(b.Records[1].Line), "\nand its last line"...)
	require.NoError(t, again.Write(t.Context(), b))
	require.Equal(t, []int{0, 1, 1}, numbers(t, filepath.Join(dir, "web.log")))
}

// Another process's journal is left alone.
func TestAJournalHasOneOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	o, _ := open(t)
	require.NoError(t, o.Remember(path))
	other, _ := open(t)
	require.ErrorContains(t, other.Remember(path), "another output")
	require.NoError(t, other.Write(t.Context(), sample.Batch(0, 5, sample.Source(1))))
}

// An output is replaced by one with other settings before what it wrote is in the checkpoints, and the process is killed then.
// The next process gets it all again, and writes none of it twice.
func TestWhatAReplacedOutputWroteIsNotWrittenTwice(t *testing.T) {
	dir := t.TempDir()
	journal, source := filepath.Join(dir, "journal"), sample.Source(1)
	begin := func() *Output {
		var c Config
		require.NoError(t, settings.Load(map[string]string{"FILE_PATH": filepath.Join(dir, "logs"), "FILE_NAME": "all", "FILE_SYNC": "false"}, &c))
		o, err := Open(c)
		require.NoError(t, err)
		return o
	}
	first := begin()
	require.NoError(t, first.Remember(journal))
	require.NoError(t, first.Write(t.Context(), sample.Batch(0, 10, source)))
	second := begin()
	require.NoError(t, first.Yield())
	require.NoError(t, second.Remember(journal))
	require.NoError(t, second.Write(t.Context(), sample.Batch(10, 20, source)))
	kill(t, second)
	third := begin()
	require.NoError(t, third.Remember(journal))
	require.NoError(t, third.Write(t.Context(), sample.Batch(0, 30, source)))
	text, err := os.ReadFile(filepath.Join(dir, "logs", "all"))
	require.NoError(t, err)
	require.Equal(t, 30, strings.Count(string(text), "\n"))
	require.NoError(t, third.Close())
}

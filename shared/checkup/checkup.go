// SPDX-License-Identifier: Apache-2.0

// Package checkup is what the command check says: a list of what was tried, with what was seen, or what is wrong and what to do.
package checkup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/escape"
)

// Result is how a check ended.
type Result string

// The results. A warning does not make the command fail.
const (
	OK      Result = "ok"
	Warning Result = "warning"
	Failed  Result = "failed"
)

var marks = map[Result]string{OK: "✓", Warning: "!", Failed: "✗"}

// Item is a check.
type Item struct {
	About  string `json:"about"` // what was checked
	Result Result `json:"result"`
	Saw    string `json:"saw"`          // what was seen, or what is wrong
	Do     string `json:"do,omitempty"` // empty where nothing has to be done
}

// Good, Odd and Bad return items.
func Good(about, saw string) Item    { return Item{About: about, Result: OK, Saw: saw} }
func Odd(about, saw, do string) Item { return Item{About: about, Result: Warning, Saw: saw, Do: do} }
func Bad(about string, err error, do string) Item {
	return Item{About: about, Result: Failed, Saw: err.Error(), Do: do}
}

// Write prints the items, escaped, and returns how many failed.
func Write(w io.Writer, items []Item, asJSON bool) (failed int, err error) {
	for _, i := range items {
		if i.Result == Failed {
			failed++
		}
	}
	if asJSON {
		body, err := json.MarshalIndent(items, "", "  ")
		if err != nil {
			return failed, err
		}
		_, err = w.Write(append(escape.JSON(body), '\n'))
		return failed, err
	}
	for _, i := range items {
		if _, err := fmt.Fprintln(w, marks[i.Result], escape.Text(i.About)+": "+escape.Text(i.Saw)); err != nil {
			return failed, err
		}
		if i.Do == "" {
			continue
		}
		if _, err := fmt.Fprintln(w, "    "+escape.Text(i.Do)); err != nil {
			return failed, err
		}
	}
	return failed, nil
}

// Directory checks that dir can be made, written and synced, and whether the disk has wanted bytes free. It leaves nothing behind.
func Directory(about, dir string, wanted int64) Item {
	about += " " + dir
	made, err := try(dir)
	if made {
		defer os.Remove(dir)
	}
	if err != nil {
		return Bad(about, err, "Give the process a directory that it may write, on a disk with room, and that outlives it.")
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return Good(about, "can be written")
	}
	free := int64(st.Bavail) * st.Bsize
	saw := fmt.Sprintf("can be written, %d MiB are free", free>>20)
	switch {
	case free < wanted:
		return Odd(about, saw, fmt.Sprintf("Up to %d MiB may be needed: make room, or lower the limits.", wanted>>20))
	case st.Files > 0 && st.Ffree < 1000:
		return Odd(about, fmt.Sprintf("can be written, %d inodes are free", st.Ffree), "Remove files: each container's log needs a few.")
	}
	return Good(about, saw)
}

// try writes a file in dir, and removes it. made says that the directory was not there.
func try(dir string) (made bool, err error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		made = true
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, err
	}
	probe, err := os.CreateTemp(dir, ".check-")
	if err != nil {
		return made, err
	}
	_, err = probe.Write(make([]byte, 4096))
	err = errors.Join(err, probe.Sync(), probe.Close())
	return made, errors.Join(err, os.Remove(probe.Name()))
}

// Readable checks that a file can be read.
func Readable(about, path string) Item {
	about += " " + path
	f, err := os.Open(path)
	if err != nil {
		return Bad(about, err, "Correct the path, or mount the file where the process may read it.")
	}
	defer f.Close()
	if _, err := f.Read(make([]byte, 1)); err != nil && !errors.Is(err, io.EOF) {
		return Bad(about, err, "Name a file, not a directory.")
	}
	return Good(about, "can be read")
}

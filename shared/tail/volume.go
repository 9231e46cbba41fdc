// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// volume is a directory that declarations name, and the only way to what lies in it: a path, or a symbolic link, that
// leads out of it is refused.
type volume struct {
	base string
	root *os.Root // nil while the directory is missing
	dir  *os.File // root, for questions about names in it
	id   inode
	dirs map[string]*listing // by path below base; "." is base itself
}

// reopen makes sure that root is what the path leads to now: it may be missing at first, or be replaced.
func (v *volume) reopen() error {
	info, err := os.Stat(v.base)
	if err == nil {
		if !info.IsDir() {
			err = fmt.Errorf("%s is not a directory", v.base)
		}
	}
	if err != nil {
		v.close()
		return err
	}
	if v.root != nil {
		if s, err := statPath(v.base); err == nil && s.inode == v.id {
			return nil
		}
		v.close()
	}
	root, err := openBase(v.base)
	if err != nil {
		return err
	}
	dir, err := root.Open(".")
	if err != nil {
		return errors.Join(err, root.Close())
	}
	s, err := statOf(int(dir.Fd()), "")
	if err != nil {
		return errors.Join(err, dir.Close(), root.Close())
	}
	v.root, v.dir, v.id, v.dirs = root, dir, s.inode, map[string]*listing{}
	return nil
}

func (v *volume) close() {
	if v.root != nil {
		_, _ = v.root.Close(), v.dir.Close() // opened for reading
		v.root, v.dir = nil, nil
	}
	v.dirs = nil
}

// statPath follows symbolic links: base is named by whoever runs the sidecar.
func statPath(p string) (stat, error) {
	fd, err := unix.Open(p, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return stat{}, err
	}
	defer unix.Close(fd)
	return statOf(fd, "")
}

// openBase opens the directory base. Where base lies in a mounted volume, its own symbolic links are kept in there too:
// whoever writes to the volume could have made them.
func openBase(base string) (*os.Root, error) {
	mount := mountOf(base)
	if mount == "/" || mount == base {
		return os.OpenRoot(base)
	}
	outer, err := os.OpenRoot(mount)
	if err != nil {
		return nil, err
	}
	defer outer.Close()
	return outer.OpenRoot(strings.TrimPrefix(base, mount+"/"))
}

// mountOf is the mount point that p lies in, "/" where that can't be told.
func mountOf(p string) string {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "/"
	}
	defer f.Close()
	best := "/"
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text()) // proc(5): the fifth field is the mount point
		if len(fields) < 5 {
			continue
		}
		m := unescape(fields[4])
		if len(m) > len(best) && (p == m || strings.HasPrefix(p, m+"/")) {
			best = m
		}
	}
	return best
}

// unescape undoes what mountinfo does to spaces, tabs, newlines and backslashes: \ooo, octal.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// errRefused is the reason of a path that is not read although it matches.
type errRefused struct{ why string }

func (e *errRefused) Error() string { return e.why }

// openFile opens the file at rel for reading, following symbolic links within the volume. It never waits, as opening a
// FIFO would, and fails with errRefused for what is no regular file or lies outside.
func (v *volume) openFile(rel string) (*os.File, stat, error) {
	f, err := v.root.OpenFile(rel, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		if inside, ok := v.absoluteLink(rel); ok {
			f, err = v.root.OpenFile(inside, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
		}
	}
	if err != nil {
		return nil, stat{}, v.explain(rel, err)
	}
	s, err := statOf(int(f.Fd()), "")
	if err == nil && !s.regular() {
		err = &errRefused{"it is " + s.kind()}
	}
	if err != nil {
		return nil, stat{}, errors.Join(err, f.Close())
	}
	return f, s, nil
}

// absoluteLink is where an absolute symbolic link at rel leads, if that is inside of the volume after all: os.Root
// refuses all of them.
func (v *volume) absoluteLink(rel string) (string, bool) {
	target, err := v.root.Readlink(rel)
	if err != nil || !path.IsAbs(target) {
		return "", false
	}
	inside, ok := strings.CutPrefix(path.Clean(target), strings.TrimSuffix(v.base, "/")+"/")
	return inside, ok
}

// explain makes an errRefused of the error of os.Root for a path that leads out. It has no exported name there, but a
// link that can be looked at and not be followed, though its target exists, is one.
func (v *volume) explain(rel string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return err
	}
	var errno unix.Errno
	if errors.As(err, &errno) {
		if errno == unix.ENXIO { // a socket can't be opened at all
			if info, statErr := v.root.Stat(rel); statErr == nil && !info.Mode().IsRegular() {
				return &errRefused{"it is a socket or a device without a driver"}
			}
		}
		return err
	}
	return &errRefused{"it leads out of " + v.base}
}

// stat asks for rel, following symbolic links within the volume.
func (v *volume) stat(rel string) (stat, error) {
	s, err := v.lstat(rel)
	if err != nil || !s.symlink() {
		return s, err
	}
	return v.follow(rel)
}

// lstat asks for rel without following its last part. A name in the volume's own directory, the usual case, needs no
// care about where its path leads.
func (v *volume) lstat(rel string) (stat, error) {
	if !strings.Contains(rel, "/") {
		return statOf(int(v.dir.Fd()), rel)
	}
	info, err := v.root.Lstat(rel)
	if err != nil {
		return stat{}, err
	}
	return statFrom(info)
}

// follow asks for what the symbolic link at rel leads to. The birth time is not among the answers.
func (v *volume) follow(rel string) (stat, error) {
	info, err := v.root.Stat(rel)
	if err != nil {
		if inside, ok := v.absoluteLink(rel); ok {
			info, err = v.root.Stat(inside)
		}
	}
	if err != nil {
		return stat{}, v.explain(rel, err)
	}
	return statFrom(info)
}

func statFrom(info fs.FileInfo) (stat, error) {
	x, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return stat{}, fmt.Errorf("stat %s: the system gave no inode", info.Name())
	}
	s := stat{
		inode: inode{unix.Mkdev(unix.Major(x.Dev), unix.Minor(x.Dev)), x.Ino}, size: x.Size, blocks: x.Blocks * 512,
		mtime: info.ModTime().UnixNano(), links: uint32(x.Nlink), mode: uint16(x.Mode),
	}
	amend(&s)
	s.btime = 0 // os has no births to tell
	return s, nil
}

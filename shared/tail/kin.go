// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"path"
	"strings"
)

// inherit notes that f is the youngest file that bears the name rel.
func inherit(v *volume, rel string, f *file) {
	l := v.dirs[path.Dir(rel)]
	if l == nil {
		return
	}
	if o := l.heirs[path.Base(rel)]; o == nil || f.btime == 0 || f.btime >= o.btime {
		l.heirs[path.Base(rel)] = f
	}
}

// kin finds files that came and went between two scans: they have the name of a rotation of one that was followed, and
// are younger than that.
func (t *Tailer) kin(v *volume) {
	for dir, l := range v.dirs {
		if l.scan != t.scans || len(l.heirs) == 0 {
			continue
		}
		for _, e := range l.entries {
			f := l.heirOf(e.name)
			if f == nil || !e.mode.IsRegular() || f.state == live && t.files[f.inode] == f {
				continue // nothing can have come between a file that still has its name and itself
			}
			rel := path.Join(dir, e.name)
			o, err := v.lstat(rel)
			if err != nil || t.files[o.inode] != nil || t.fresh[o.inode] != nil || !v.younger(rel, o, f) {
				continue
			}
			t.fresh[o.inode] = &found{stat: o, volume: v, rel: rel, watches: f.watches, kin: true}
		}
	}
}

// heirOf is the file of which name may be a rotation.
func (l *listing) heirOf(name string) *file {
	for i := len(name) - 1; i > 0; i-- {
		if strings.IndexByte(".-_", name[i]) >= 0 {
			if f := l.heirs[name[:i]]; f != nil && rotatedName(name[:i], name) {
				return f
			}
		}
	}
	return nil
}

// originalOf is the file of which name may be a copy: one whose name it begins with.
func (l *listing) originalOf(name string) *file {
	ext := path.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	for i := len(name) - 1; i > 0; i-- {
		if strings.IndexByte(".-_", name[i]) < 0 {
			continue
		}
		if f := l.heirs[name[:i]]; f != nil {
			return f
		}
		if f := l.heirs[name[:i]+ext]; i < len(stem) && f != nil {
			return f
		}
	}
	return nil
}

// younger tells whether o, which is at rel, was begun after f: by its birth where that is known, else by what was
// written last. gzip keeps the latter when it compresses, so for a compressed file that is the one to ask.
func (v *volume) younger(rel string, o stat, f *file) bool {
	if f.btime != 0 && !strings.HasSuffix(rel, ".gz") {
		if dir, err := v.openDir(path.Dir(rel)); err == nil {
			defer dir.Close()
			if s, err := statOf(int(dir.Fd()), path.Base(rel)); err == nil && s.btime != 0 {
				return s.btime > f.btime
			}
		}
	}
	return o.mtime > f.mtime
}

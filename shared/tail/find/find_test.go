// SPDX-License-Identifier: Apache-2.0

package find

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/cputime"
)

func write(t testing.TB, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

func link(t testing.TB, target, path string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.Symlink(target, path))
}

// search returns the paths that a pattern selects below a root, sorted, and what could not be searched. steps is how many
// steps it took with a budget.
func search(t testing.TB, root Root, pattern string, budget int) (found []string, steps int, err error) {
	t.Helper()
	p, err := Compile(pattern)
	require.NoError(t, err)
	tree := root.Tree(p.Base())
	defer tree.Release()
	if err := tree.Begin(); err != nil {
		return nil, 0, err
	}
	s := tree.Search(p, false)
	for {
		steps++
		left := budget
		done, err := s.Step(&left, func(m *Match) { found = append(found, tree.Path(m.Rel)) }, func(*os.File, Inode) {})
		if done {
			slices.Sort(found)
			return found, steps, err
		}
	}
}

const plenty = 1 << 30

func TestPatternsAreBounded(t *testing.T) {
	check := func(pattern string) error { _, err := Compile(pattern); return err }
	checkExclude := func(patterns ...string) error { _, err := CompileExclude(patterns); return err }
	for name, pattern := range map[string]string{
		"braces": "/logs/" + strings.Repeat("{a,aa}", 30), "nested": "/" + strings.Repeat("{a,", 1000) + strings.Repeat("}", 1000),
		"length": "/" + strings.Repeat("a", maxPattern), "any depth": "/logs" + strings.Repeat("/**/a", 20) + "/b",
	} {
		watch := cputime.Start()
		require.Error(t, check(pattern), name)
		if name != "any depth" {
			require.Error(t, checkExclude(pattern), name)
		}
		require.Less(t, watch.Stop(), time.Second, name)
	}
	require.NoError(t, check("/logs/**/**/**/**/**/**/**/**/**/**/**/a"), "it is the same as one **")
	many := slices.Repeat([]string{"{a,b,c,d}"}, maxAlternatives)
	require.ErrorContains(t, checkExclude(many...), "256")
	require.ErrorContains(t, checkExclude("["), `"["`)
}

// A name that an application chose must not make a pattern expensive that somebody else has declared.
func TestExcludeIsLinear(t *testing.T) {
	x, err := CompileExclude([]string{"*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", "/**/*a*a*a*a*a*a/**/*a*a*a*a*b"})
	require.NoError(t, err)
	watch := cputime.Start()
	for range 100 {
		require.False(t, x.Matches("/logs/"+strings.Repeat("a", 255)))
		require.False(t, x.Matches("/logs"+strings.Repeat("/"+strings.Repeat("a", 100), 30)))
	}
	require.Less(t, watch.Stop(), 2*time.Second)
}

func TestLinksToDirectoriesAreSearchedOnce(t *testing.T) {
	dir := t.TempDir()
	for i := range 300 {
		link(t, ".", fmt.Sprintf("%s/loop%03d", dir, i))
		link(t, "sub", fmt.Sprintf("%s/again%03d", dir, i))
	}
	write(t, dir+"/sub/x.log", "")
	write(t, dir+"/x.log", "")
	for _, pattern := range []string{"/*/x.log", "/*/*/*/*/x.log", "/{*,*/*,*/*/*}/x.log"} {
		found, steps, err := search(t, Host(), dir+pattern, 1000)
		require.NoError(t, err)
		require.LessOrEqual(t, len(found), 4, pattern)
		require.Less(t, steps, 50, "%s: 600 links, four levels of them, are billions of ways", pattern)
	}
	found, _, err := search(t, Host(), dir+"/*/x.log", plenty)
	require.NoError(t, err)
	require.Equal(t, []string{dir + "/sub/x.log"}, found)
}

func TestASearchGoesOnWhereItWas(t *testing.T) {
	dir := t.TempDir()
	var want []string
	for i := range 40 {
		for j := range 10 {
			name := fmt.Sprintf("%s/%02d/%02d.log", dir, i, j)
			write(t, name, "")
			want = append(want, name)
		}
	}
	found, steps, err := search(t, Host(), dir+"/*/*.log", 50)
	require.NoError(t, err)
	require.Equal(t, want, found)
	require.Greater(t, steps, 5)
}

func TestDirectoryKnowsNothingElse(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/in/x.log", "")
	write(t, dir+"/out/x.log", "")
	link(t, dir+"/out/x.log", dir+"/in/link.log")
	root := Directory(dir + "/in")
	found, _, err := search(t, root, dir+"/in/*.log", plenty)
	require.NoError(t, err)
	require.Len(t, found, 2)
	tree := root.Tree(dir + "/in")
	defer tree.Release()
	_, _, err = tree.Open("link.log")
	var refused *Refused
	require.ErrorAs(t, err, &refused)
	_, _, err = search(t, root, dir+"/out/*.log", plenty)
	require.ErrorAs(t, err, &refused)
}

// container is a root of a container whose image, upper layer and volumes a test fills.
type container struct {
	testing.TB
	upper, lower, volume, outside string
}

func newContainer(t testing.TB) *container {
	dir := t.TempDir()
	c := &container{t, dir + "/upper", dir + "/lower", dir + "/volume", dir + "/outside"}
	for _, d := range []string{c.upper, c.lower, c.volume, c.outside} {
		require.NoError(t, os.Mkdir(d, 0o755))
	}
	write(t, c.outside+"/secret.log", "secret")
	return c
}

func (c *container) root() Root {
	return Container(c.upper, []string{c.lower}, map[string]string{"/var/log/volume": c.volume, "/data": c.volume})
}

func (c *container) read(path string) (string, error) {
	tree := c.root().Tree(filepath.Dir(path))
	defer tree.Release()
	f, _, err := tree.Open(filepath.Base(path))
	if err != nil {
		return "", err
	}
	defer f.Close()
	b := make([]byte, 100)
	n, _ := f.Read(b)
	return string(b[:n]), nil
}

func (c *container) finds(pattern string, want ...string) {
	c.Helper()
	found, _, err := search(c, c.root(), pattern, plenty)
	require.NoError(c, err)
	require.Equal(c, want, found)
}

func TestContainerLayers(t *testing.T) {
	c := newContainer(t)
	write(t, c.lower+"/var/log/image.log", "lower")
	write(t, c.lower+"/var/log/both.log", "lower")
	write(t, c.upper+"/var/log/both.log", "upper")
	write(t, c.lower+"/var/log/gone.log", "lower")
	require.NoError(t, unix.Mknod(c.upper+"/var/log/gone.log", unix.S_IFCHR, 0)) // a whiteout, overlayfs.txt
	write(t, c.lower+"/opt/hidden.log", "lower")
	write(t, c.upper+"/opt/new.log", "upper")
	err := unix.Setxattr(c.upper+"/opt", "user.overlay.opaque", []byte("y"), 0)
	if err != nil { // tmpfs has no others before Linux 6.6
		err = unix.Setxattr(c.upper+"/opt", "trusted.overlay.opaque", []byte("y"), 0)
	}
	require.NoError(t, err)
	c.finds("/var/log/*.log", "/var/log/both.log", "/var/log/image.log")
	c.finds("/opt/*.log", "/opt/new.log")
	text, err := c.read("/var/log/both.log")
	require.NoError(t, err)
	require.Equal(t, "upper", text)
	_, err = c.read("/var/log/gone.log")
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = c.read("/opt/hidden.log")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestContainerMountsAndLinks(t *testing.T) {
	c := newContainer(t)
	write(t, c.volume+"/app.log", "volume")
	require.NoError(t, os.MkdirAll(c.upper+"/var/log/volume", 0o755))
	write(t, c.upper+"/var/log/volume/hidden.log", "below the mount")
	link(t, "/var/log", c.lower+"/logs")
	link(t, "../../../../../../data/app.log", c.upper+"/var/log/up.log")
	link(t, "/data/app.log", c.upper+"/var/log/absolute.log")
	c.finds("/var/log/volume/*.log", "/var/log/volume/app.log")
	c.finds("/logs/*/*.log", "/logs/volume/app.log")
	for _, p := range []string{"/var/log/volume/app.log", "/data/app.log", "/logs/volume/app.log", "/var/log/up.log", "/var/log/absolute.log"} {
		text, err := c.read(p)
		require.NoError(t, err, p)
		require.Equal(t, "volume", text, p)
	}
}

// Whoever writes in a container or a volume can make links; none may lead out of the container.
func TestContainerLinksNeverLeadOut(t *testing.T) {
	c := newContainer(t)
	write(t, c.lower+c.outside+"/secret.log", "the container's own") // the same path inside
	for i, target := range []string{
		c.outside + "/secret.log", "../outside/secret.log", "../../../../../../../../../.." + c.outside + "/secret.log", "/proc/self/root" + c.outside + "/secret.log",
	} {
		for j, dir := range []string{c.upper, c.volume} {
			link(t, target, fmt.Sprintf("%s/link%d.log", dir, i))
			link(t, filepath.Dir(target), fmt.Sprintf("%s/dir%d", dir, i))
			at := []string{"/", "/data"}[j]
			for _, p := range []string{fmt.Sprintf("link%d.log", i), fmt.Sprintf("dir%d/secret.log", i)} {
				text, err := c.read(filepath.Join(at, p))
				if err == nil {
					require.Equal(t, "the container's own", text, "%s -> %s", p, target)
				}
			}
		}
	}
	only := Container("", nil, map[string]string{"/data": c.volume}).Tree("/data")
	defer only.Release()
	_, _, err := only.Open("link0.log")
	var refused *Refused
	require.ErrorAs(t, err, &refused)
}

func TestLinksInACircle(t *testing.T) {
	c := newContainer(t)
	link(t, "b", c.upper+"/a")
	link(t, "a", c.upper+"/b")
	link(t, "d/d", c.upper+"/d")
	for _, p := range []string{"/a", "/a/x", "/d/x"} {
		_, err := c.read(p)
		require.Error(t, err, p)
	}
	found, _, _ := search(t, c.root(), "/*/*", plenty)
	require.Empty(t, found)
}

func TestADirectoryThatIsReplacedIsReadAnew(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/logs/a.log", "")
	p, err := Compile(dir + "/logs/*.log")
	require.NoError(t, err)
	tree := Host().Tree(p.Base())
	defer tree.Release()
	names := func() (all []string) {
		require.NoError(t, tree.Begin())
		budget := plenty
		_, err := tree.Search(p, false).Step(&budget, func(m *Match) { all = append(all, m.Rel) }, func(*os.File, Inode) {})
		require.NoError(t, err)
		return all
	}
	require.Equal(t, []string{"a.log"}, names())
	require.NoError(t, os.Rename(dir+"/logs", dir+"/old"))
	require.ErrorIs(t, tree.Begin(), os.ErrNotExist)
	write(t, dir+"/logs/b.log", "")
	require.Equal(t, []string{"b.log"}, names())
	require.Equal(t, []string{"b.log"}, names())
}

func TestHints(t *testing.T) {
	dir := t.TempDir()
	hinted := make(chan string, 100)
	h := NewHints(func(owner string) { hinted <- owner }, slog.New(slog.DiscardHandler))
	defer h.Close()
	open := func(path string) (*os.File, Inode) {
		f, err := os.Open(path)
		require.NoError(t, err)
		t.Cleanup(func() { _ = f.Close() })
		s, err := StatFile(f)
		require.NoError(t, err)
		return f, s.Inode
	}
	require.NoError(t, os.Mkdir(dir+"/sub", 0o755))
	f, id := open(dir)
	sub, subID := open(dir + "/sub")
	h.Watch("one", f, id)
	h.Watch("two", f, id)
	h.Watch("one", sub, subID)
	write(t, dir+"/x", "")
	got := []string{<-hinted, <-hinted}
	slices.Sort(got)
	require.Equal(t, []string{"one", "two"}, got)
	require.NoError(t, os.Remove(dir+"/sub"))
	for <-hinted != "one" { // the owners of dir are told of the name, in any order
	}
	h.Forget("one")
	h.Round("two") // nobody asked for dir in the round that begins
	h.Round("two")
	h.mu.Lock()
	defer h.mu.Unlock()
	require.Empty(t, h.byWatch)
	require.Zero(t, h.owners["two"].watches)
}

func TestHintsAreBounded(t *testing.T) {
	dir := t.TempDir()
	h := NewHints(func(string) {}, slog.New(slog.DiscardHandler))
	defer h.Close()
	h.max = 10
	for i := range 20 {
		name := fmt.Sprintf("%s/%d", dir, i)
		require.NoError(t, os.Mkdir(name, 0o755))
		f, err := os.Open(name)
		require.NoError(t, err)
		s, err := StatFile(f)
		require.NoError(t, err)
		h.Watch("one", f, s.Inode)
		require.NoError(t, f.Close())
	}
	require.Len(t, h.byWatch, 10)
}

func TestStem(t *testing.T) {
	for name, want := range map[string]string{
		"access.log": "access", "dir/access-2026-01-02.log.gz": "access", "a_1": "a", "plain": "plain",
		"0.log": "0", "0.log.20260102-030405": "0", "0.log.20260102-030405.gz": "0", "10.log": "10", "2026-01-02.log": "2026-01-02",
		"2026-01-02": "2026-01-02", ".hidden.log": ".hidden", ".": ".", "7": "7",
	} {
		require.Equal(t, want, Stem(name), name)
	}
	require.False(t, Related("0.log", "1.log"))
}

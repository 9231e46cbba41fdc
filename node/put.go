// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/remora-logs/remora/node/containers"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/deliver"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/tail"
	"github.com/remora-logs/remora/shared/tail/find"
)

// put is one origin as it is put to the tailer, with the route of its files.
type put struct {
	origin tail.Origin
	route  *route
	// version changes with everything that the tailer must be told.
	version string
	// way tells explain where the files are.
	way string
	// stopped means that the writer of the files is not running.
	stopped bool
	// output means that the files are the container's output, as the runtime stores it.
	output bool
}

// route is how the files of an origin are delivered. It is immutable.
type route struct {
	declarations  map[string]declare.Declaration
	kind          deliver.Kind
	tags, writer  []record.Tag
	path          func(path string) string // the path that records name, of the one that the tailer knows
	partialsAfter time.Duration
}

// kinds maps the formats of log files to those of package deliver.
var kinds = map[containers.Form]deliver.Kind{containers.CRI: deliver.CRI, containers.JSONFile: deliver.JSONFile, containers.Local: deliver.Local}

// output returns the origin of a container's output, which the runtime stores in l.
func (a *agent) output(s *subject, v *view, l containers.Log, of []declare.Declaration, tags []record.Tag) put {
	dir := a.host.see(l.Dir)
	id := "log/" + s.key
	if l.Form != containers.CRI { // each container has its own directory
		of := l.Dir
		if l.Form == containers.Local {
			of = filepath.Dir(of)
		}
		id = "log/" + l.Driver + "/" + filepath.Base(of)
	}
	p := put{
		origin: tail.Origin{ID: id, Root: find.Directory(dir)},
		route: &route{declarations: byName(of), kind: kinds[l.Form], tags: tags, writer: a.writer(v), path: a.host.path,
			partialsAfter: a.settings.PartialTimeout},
		way: l.Driver + " in " + l.Dir, output: true,
	}
	for _, d := range of {
		s := a.selection(d, []string{"*.tmp"}, &p)
		s.Pattern = filepath.Join(escapePattern(dir), l.Pattern)
		p.origin.Selections = append(p.origin.Selections, s)
	}
	p.seal(dir)
	return p
}

// files returns the origin of the files inside a container.
func (a *agent) files(s *subject, v *view, of []declare.Declaration, tags []record.Tag) (put, []declare.Problem) {
	root, place, problems := a.root(s, v, of)
	p := put{
		origin: tail.Origin{ID: s.filesID(v), Root: root},
		route:  &route{declarations: byName(of), tags: tags, writer: a.writer(v), path: func(path string) string { return path }},
		way:    place, stopped: !v.Running,
	}
	for _, d := range of {
		s := a.selection(d, declare.SplitList(d.Files["exclude"]), &p)
		for _, s.Pattern = range d.Paths() {
			p.origin.Selections = append(p.origin.Selections, s)
		}
	}
	p.seal(place)
	return p, problems
}

// maxSingles bounds the mounted files of one container that are followed.
const maxSingles = 16

// singles returns an origin for each single file that is mounted into a container and chosen by a declaration. The file is
// followed in its directory on the host, together with its rotations. Nothing else in that directory belongs to the
// container, so nothing else is read.
func (a *agent) singles(s *subject, v *view, of []declare.Declaration, tags []record.Tag) (all []put) {
	for _, at := range slices.Sorted(maps.Keys(v.Files.Mounts)) {
		chosen := slices.DeleteFunc(slices.Clone(of), func(d declare.Declaration) bool { return !selects(d, at) })
		if len(chosen) == 0 {
			continue
		}
		if len(all) == maxSingles {
			s.problems = append(s.problems, declare.Problem{Key: at, Message: fmt.Sprintf("more than %d mounted files: mount their directory", maxSingles)})
			break
		}
		found, err := a.volume(v, v.Files.Mounts[at])
		if err != nil {
			s.retry = a.now().Add(retryTime)
			s.problems = append(s.problems, declare.Problem{Key: at, Message: a.invisible(v.Files.Mounts[at], err)})
			continue
		}
		if found.isDir {
			continue
		}
		file := found.seen
		id := s.filesID(v) + at
		a.claims[id] = s
		p := put{
			origin: tail.Origin{ID: id, Root: find.Directory(path.Dir(file))},
			route: &route{declarations: byName(chosen), tags: tags, writer: a.writer(v),
				path: func(p string) string {
					return path.Join(path.Dir(at), strings.Replace(path.Base(p), path.Base(file), path.Base(at), 1))
				}},
			way: at + " at " + a.host.path(file), stopped: !v.Running,
		}
		for _, d := range chosen {
			s := a.selection(d, nil, &p)
			s.Pattern = escapePattern(file)
			p.origin.Selections = append(p.origin.Selections, s)
		}
		p.seal(file)
		all = append(all, p)
	}
	return all
}

// selects reports whether a declaration chooses the file at p, a path of the container.
func selects(d declare.Declaration, p string) bool {
	if exclude, err := find.CompileExclude(declare.SplitList(d.Files["exclude"])); err != nil || exclude.Matches(p) {
		return false
	}
	return slices.ContainsFunc(d.Paths(), func(text string) bool {
		pattern, err := find.Compile(text)
		return err == nil && pattern.Selects(p)
	})
}

// hostFiles returns the origin of the host's own files that a rule declares.
func (a *agent) hostFiles(rule string, of []declare.Declaration) put {
	root := "/" + strings.TrimPrefix(a.host.root, "/")
	tags := append([]record.Tag{{Key: "host", Value: a.hostName}}, a.hostTags()...)
	if a.settings.NodeName != "" {
		tags = append([]record.Tag{{Key: "k8s_node_name", Value: a.settings.NodeName}}, tags...)
	}
	p := put{
		origin: tail.Origin{ID: "host/" + rule, Root: find.Container(root, nil, nil)},
		route:  &route{declarations: byName(of), writer: tags, path: func(path string) string { return path }},
		way:    "the machine's own files",
	}
	for _, d := range of {
		s := a.selection(d, declare.SplitList(d.Files["exclude"]), &p)
		for _, s.Pattern = range d.Paths() {
			p.origin.Selections = append(p.origin.Selections, s)
		}
	}
	p.seal("")
	return p
}

// seal sets the version, a hash of the selections and of place, which represents the root.
func (p *put) seal(place string) {
	h := fnv.New64a()
	for _, s := range p.origin.Selections {
		fmt.Fprintf(h, "%q%q%q%q", s.Name, s.Pattern, s.Version, s.Outputs)
	}
	fmt.Fprintf(h, "%q", place)
	p.version = strconv.FormatUint(h.Sum64(), 36)
}

// selection returns the selection of one declaration, without its pattern. Its version is a hash, because it is kept for
// each container.
func (a *agent) selection(d declare.Declaration, exclude []string, p *put) tail.Selection {
	text, err := json.Marshal(struct {
		Declaration declare.Declaration
		Tags        [2][]record.Tag
	}{d, [2][]record.Tag{p.route.tags, p.route.writer}})
	if err != nil { // cannot happen: all values can be marshalled
		text = []byte(err.Error())
	}
	h := fnv.New64a()
	_, _ = h.Write(text)
	s := tail.Selection{
		Name: d.Name, Version: strconv.FormatUint(h.Sum64(), 36), Exclude: exclude,
		Outputs: a.outputs(d), IgnoreOlder: a.settings.IgnoreOlder, FromEnd: a.settings.ReadFrom == "end",
	}
	if from, ok := d.Files["read_from"]; ok {
		s.FromEnd = from == "end"
	}
	if text, ok := d.Files["ignore_older"]; ok {
		s.IgnoreOlder, _ = time.ParseDuration(text) // checked when the declaration was read
	}
	return s
}

// root returns where a container's files are on this host: in its overlay, and in those of its mounts that the declared
// patterns can lead into. place describes that for explain.
func (a *agent) root(s *subject, v *view, of []declare.Declaration) (root find.Root, place string, problems []declare.Problem) {
	mounts, places := map[string]string{}, []string{}
	add := func(at, dir, place string) {
		mounts[at] = dir
		places = append(places, at+" at "+place)
	}
	for at, source := range v.Files.Mounts {
		if !concerns(of, at) {
			continue
		}
		found, err := a.volume(v, source)
		switch {
		case err != nil:
			s.retry = a.now().Add(retryTime)
			problems = append(problems, declare.Problem{Key: at, Message: a.invisible(source, err)})
		case found.isDir:
			add(at, found.seen, a.host.path(found.seen))
		}
	}
	process, shown := "", ""
	hidden := slices.DeleteFunc(slices.Clone(v.Files.Hidden), func(at string) bool { return !concerns(of, at) })
	_, rooted := mounts["/"]
	if len(hidden) > 0 || v.Files.Upper == "" && !rooted {
		process, shown = s.enter(a.host, v)
	} else {
		s.leave()
	}
	for _, at := range hidden {
		if process != "" {
			add(at, filepath.Join(process, at), filepath.Join(shown, at))
		}
	}
	upper, lower := v.Files.Upper, v.Files.Lower
	switch {
	case rooted: // a directory of the client's choice
	case upper != "":
		upper, lower = a.host.see(upper), slices.Clone(lower)
		for i := range lower {
			lower[i] = a.host.see(lower[i])
		}
		places = append(places, "/ at "+v.Files.Upper)
	case process != "":
		upper = process
		places = append(places, "/ at "+shown)
	default:
		problems = append(problems, outside(of, mounts)...)
	}
	slices.Sort(places)
	return find.Container(upper, lower, mounts), strings.Join(places, ", "), problems
}

// linkError is the error of a volume whose path holds a link that a container, or another user, may have created since.
type linkError struct{ link }

func (e linkError) Error() string {
	return "its path on the machine leads through the link " + e.at + ", which others than the administrator can change: mount the directory that it leads to"
}

// errNotListed is the error of a volume whose path holds a link, until it is known which containers have mounted the link's
// directory.
var errNotListed = errors.New("its path on the machine leads through a link, and the runtime's containers are not listed yet")

// volume finds what a container has mounted from a path of the host. The runtime resolved the path when it started the
// container; now it is resolved again. A link that a container has put there meanwhile could lead to any file of the
// host, so it is refused.
func (a *agent) volume(v *view, source string) (place, error) {
	found, err := a.prober.find(a.host, source)
	if listErr, listed := a.inventories[v.Runtime]; len(found.links) > 0 && (!listed || listErr != nil) {
		return place{}, errNotListed
	}
	for i, l := range found.links {
		if l.loose || a.mounted(l, found.links[:i]) {
			return place{}, linkError{l}
		}
	}
	return found, err
}

// mounted reports whether a link lies in a directory that a container has mounted, and so may write to. before are the links
// on the way to it. A mount of the host's root does not count: a container that can write there needs no link.
func (a *agent) mounted(l link, before []link) bool {
	holds := func(dir string) bool {
		dir = path.Clean(dir)
		for _, b := range before {
			if within(dir, b.at) {
				dir = path.Join(b.target, strings.TrimPrefix(dir, b.at))
			}
		}
		return dir != "/" && dir != l.at && within(l.at, dir)
	}
	for _, s := range a.subjects {
		for _, c := range s.reports {
			if slices.ContainsFunc(c.Files.Volumes, holds) {
				return true
			}
			for _, source := range c.Files.Mounts {
				if holds(source) {
					return true
				}
			}
		}
	}
	return false
}

// invisible returns a message that says why a volume cannot be read and what to do.
func (a *agent) invisible(source string, err error) string {
	if changed := (linkError{}); errors.As(err, &changed) {
		return "the volume " + source + " is not read: " + err.Error()
	}
	message := "the volume is not visible here: " + err.Error()
	if a.host.root != "" {
		message += "; mount " + source + ", or the host's root, with mountPropagation: HostToContainer"
	}
	return message
}

// outside returns a problem for each declared pattern outside all mounts, for a container whose root file system is not
// accessible.
func outside(of []declare.Declaration, mounts map[string]string) (problems []declare.Problem) {
	for _, d := range of {
		for _, pattern := range d.Paths() {
			held := false
			for at := range mounts {
				held = held || within(fixed(pattern), at)
			}
			if !held {
				problems = append(problems, declare.Problem{Key: d.Name, Message: pattern + " lies in the container's root file system, " +
					"which can't be reached from here: mount a volume there"})
			}
		}
	}
	return problems
}

// concerns reports whether any of the declared patterns can lead into a mount.
func concerns(of []declare.Declaration, at string) bool {
	return slices.ContainsFunc(of, func(d declare.Declaration) bool {
		return slices.ContainsFunc(d.Paths(), func(pattern string) bool {
			dir := fixed(pattern)
			return within(dir, at) || within(at, dir) && dir != path.Dir(pattern)
		})
	})
}

// fixed returns the directory before the first wildcard of a pattern.
func fixed(pattern string) string {
	if i := strings.IndexAny(pattern, `*?[{\`); i >= 0 {
		pattern = pattern[:i] + "x"
	}
	return path.Dir(pattern)
}

// within reports whether p is dir or lies below it.
func within(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}

// escapePattern returns a pattern that matches dir alone.
func escapePattern(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `{`, `\{`).Replace(dir)
}

func byName(of []declare.Declaration) map[string]declare.Declaration {
	m := make(map[string]declare.Declaration, len(of))
	for _, d := range of {
		m[d.Name] = d
	}
	return m
}

// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/command"
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/escape"
	"github.com/remora-logs/remora/shared/output/settings"
	"github.com/remora-logs/remora/shared/telemetry"
)

// SupportCommand is the subcommand that writes what a bug report needs to one file: the status of the running process, its
// metrics, its settings, and the names and sizes of the files in the state directory. The file holds no secret and no line of a
// log.
type SupportCommand struct {
	Output string `short:"o" default:"remora-support.tar.gz" help:"File to write; - for standard output."`

	Sockets  []string                  `kong:"-"` // as in Options
	Settings func() []settings.Section `kong:"-"` // of the process
	Version  string                    `kong:"-"`
}

// Run is called by kong.
func (c *SupportCommand) Run(k *kong.Context) error {
	var at config.Status
	if err := command.Load(config.Environ(), &at); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	bundle, err := c.bundle(ctx, config.Environ(), at)
	if err != nil {
		return err
	}
	if c.Output == "-" {
		_, err = k.Stdout.Write(bundle)
		return err
	}
	if err := os.WriteFile(c.Output, bundle, 0o600); err != nil {
		return err
	}
	_, err = fmt.Fprintf(k.Stdout, "wrote %s: read it before you pass it on; it names containers, files and addresses\n", c.Output)
	return err
}

// bundle returns the file's content. A part that can't be obtained is replaced by the reason.
func (c *SupportCommand) bundle(ctx context.Context, environ map[string]string, at config.Status) ([]byte, error) {
	var out bytes.Buffer
	compressed := gzip.NewWriter(&out)
	archive := tar.NewWriter(compressed)
	add := func(name string, content []byte) error {
		header := &tar.Header{Name: "remora-support/" + name, Mode: 0o600, Size: int64(len(content)), ModTime: time.Now()}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		_, err := archive.Write(content)
		return err
	}
	var failed []error
	for name, path := range map[string]string{"status.json": "/status", "metrics.txt": "/metrics", "ready.txt": "/readyz", "goroutines.txt": "/debug/pprof/goroutine?debug=1"} {
		content, err := telemetry.Fetch(ctx, path, addresses(at, c.Sockets)...)
		if err != nil {
			content = []byte(escape.Lines(err.Error()) + "\n")
		}
		failed = append(failed, add(name, content))
	}
	failed = append(failed,
		add("settings.txt", []byte(shownSettings(environ, c.Settings()))),
		add("system.txt", []byte(c.system(at.StateDir))),
		add("state.txt", []byte(listState(at.StateDir))),
		archive.Close(), compressed.Close())
	return out.Bytes(), errors.Join(failed...)
}

// shownSettings returns the settings that are set in environ, with secrets only by name.
func shownSettings(environ map[string]string, sections []settings.Section) string {
	var b strings.Builder
	b.WriteString("# The environment of the command itself; that of a plugin is shown by docker plugin inspect.\n")
	for _, section := range sections {
		for _, s := range section.Settings {
			if value := environ[s.Name]; value != "" && !settings.IsServiceLink(s.Name, value) {
				fmt.Fprintf(&b, "%s=%s\n", s.Name, shownValue(s, value))
			}
			if s.Secret && environ[s.Name+"_FILE"] != "" {
				fmt.Fprintf(&b, "%s_FILE=%s\n", s.Name, escape.Word(environ[s.Name+"_FILE"]))
			}
		}
	}
	for _, u := range config.Unknown(environ, sections) {
		fmt.Fprintf(&b, "%s is unknown\n", escape.Word(u.Name))
	}
	return b.String()
}

// shownValue returns a setting's value without what may be a secret: passwords, paths and queries of URLs.
func shownValue(s settings.Setting, value string) string {
	if s.Secret {
		return "(set, not shown)"
	}
	parts := strings.Split(value, ",")
	for i, part := range parts {
		if !strings.Contains(part, "://") && !strings.Contains(part, "@") {
			parts[i] = escape.Text(part)
			continue
		}
		u, err := url.Parse(strings.TrimSpace(part))
		if err != nil || u.Host == "" {
			parts[i] = "(not shown)"
			continue
		}
		parts[i] = escape.Text((&url.URL{Scheme: u.Scheme, Host: u.Host}).String() + "/…")
	}
	return strings.Join(parts, ",")
}

// system describes the machine as the process sees it.
func (c *SupportCommand) system(stateDir string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "remora %s, %s %s/%s, %d CPUs\n", c.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	var kernel unix.Utsname
	if err := unix.Uname(&kernel); err == nil {
		fmt.Fprintf(&b, "kernel %s\n", unix.ByteSliceToString(kernel.Release[:]))
	}
	var st unix.Statfs_t
	if err := unix.Statfs(stateDir, &st); err != nil {
		fmt.Fprintf(&b, "state directory %s: %v\n", escape.Word(stateDir), err)
	} else {
		fmt.Fprintf(&b, "state directory %s: %d MiB free of %d, %d inodes free of %d, file system type %#x\n", escape.Word(stateDir),
			st.Bavail*uint64(st.Bsize)>>20, st.Blocks*uint64(st.Bsize)>>20, st.Ffree, st.Files, st.Type)
	}
	for _, path := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/cpu.max", "/proc/self/limits"} {
		if content, err := os.ReadFile(path); err == nil {
			fmt.Fprintf(&b, "\n%s:\n%s", path, content)
		}
	}
	return b.String()
}

// maxListed bounds the number of listed files of the state directory.
const maxListed = 10_000

// listState lists the names, sizes and times of the files in the state directory.
func listState(dir string) string {
	var lines []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			lines = append(lines, escape.Text(err.Error()))
			return nil
		case len(lines) >= maxListed:
			lines = append(lines, "…")
			return io.EOF
		case entry.IsDir():
			return nil
		}
		if info, err := entry.Info(); err == nil {
			lines = append(lines, fmt.Sprintf("%12d  %s  %s", info.Size(), info.ModTime().UTC().Format(time.RFC3339), escape.Text(path)))
		}
		return nil
	})
	if err != nil && !errors.Is(err, io.EOF) {
		lines = append(lines, escape.Text(err.Error()))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

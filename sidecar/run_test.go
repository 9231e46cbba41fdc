// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/command"
)

// pod is a sidecar's surroundings.
type pod struct {
	t         *testing.T
	logs, out string
	environ   map[string]string
}

func newPod(t *testing.T) *pod {
	p := &pod{t: t, logs: t.TempDir(), out: t.TempDir()}
	state, err := os.MkdirTemp("", "remora") // a socket's path has to be short
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(state)) })
	p.environ = map[string]string{
		"REMORA_STATE_DIR": state, "LOGGING_OUTPUT": "file", "FILE_PATH": p.out, "aliyun_logs_web": p.logs + "/*.log",
		"POD_NAME": "web-1", "REMORA_LOG_LEVEL": "error",
	}
	return p
}

func (p *pod) write(name, text string) {
	p.t.Helper()
	f, err := os.OpenFile(filepath.Join(p.logs, name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	require.NoError(p.t, err)
	_, err = f.WriteString(text)
	require.NoError(p.t, errors.Join(err, f.Close()))
}

// run starts the sidecar and returns what stops it and waits for its end.
func (p *pod) run() (stop func() error) {
	ctx, cancel := context.WithCancel(p.t.Context())
	var variables []string
	for k, v := range p.environ {
		variables = append(variables, k+"="+v)
	}
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, p.environ, variables) }()
	return func() error {
		cancel()
		return <-ended
	}
}

// records are all that was delivered.
func (p *pod) records() (all []map[string]any) {
	p.t.Helper()
	files, err := filepath.Glob(p.out + "/*")
	require.NoError(p.t, err)
	for _, name := range files {
		f, err := os.Open(name)
		require.NoError(p.t, err)
		for lines := bufio.NewScanner(f); lines.Scan(); {
			var r map[string]any
			require.NoError(p.t, json.Unmarshal(lines.Bytes(), &r), lines.Text())
			all = append(all, r)
		}
		require.NoError(p.t, f.Close())
	}
	return all
}

func (p *pod) messages() (all []string) {
	p.t.Helper()
	for _, r := range p.records() {
		all = append(all, r["message"].(string))
	}
	slices.Sort(all)
	return all
}

func TestDeliversAllThereIsBeforeItEnds(t *testing.T) {
	p := newPod(t)
	p.write("a.log", "a1\na2\nunterminated")
	p.write("b.log", "b1\n")
	p.environ["aliyun_logs_web_tags"] = "team=blue"
	require.NoError(t, p.run()())
	require.Equal(t, []string{"a1", "a2", "b1", "unterminated"}, p.messages())
	r := p.records()[0]
	require.Equal(t, "web-1", r["k8s_pod"])
	require.Equal(t, "blue", r["team"])
	p.write("b.log", "b2\n")
	require.NoError(t, p.run()())
	require.Equal(t, []string{"a1", "a2", "b1", "b2", "unterminated"}, p.messages())
}

func TestDrainCommand(t *testing.T) {
	p := newPod(t)
	p.write("a.log", "one")
	stop := p.run()
	awaitSocket(t, filepath.Join(p.environ["REMORA_STATE_DIR"], drainSocket))
	var said strings.Builder
	require.NoError(t, askDrain(p.environ["REMORA_STATE_DIR"], 1e10, &said))
	require.Equal(t, "nothing is left\n", said.String())
	require.Equal(t, []string{"one"}, p.messages())
	p.write("a.log", "\ntwo\n")
	require.NoError(t, stop())
	require.Equal(t, []string{"", "one", "two"}, p.messages())
	require.Error(t, askDrain(p.environ["REMORA_STATE_DIR"], 1e9, &said))
}

// awaitSocket waits until somebody answers, as long as the test may take.
func awaitSocket(t *testing.T, path string) {
	for {
		conn, err := net.Dial("unix", path)
		if err == nil {
			require.NoError(t, conn.Close())
			return
		}
		require.NoError(t, t.Context().Err())
	}
}

func TestFilesOfOtherEncodings(t *testing.T) {
	p := newPod(t)
	p.environ["aliyun_logs_web_encoding"] = "gbk"
	p.write("a.log", "\xc4\xe3\xba\xc3\n") // 你好
	require.NoError(t, p.run()())
	require.Equal(t, []string{"你好"}, p.messages())
}

func TestSeveralPaths(t *testing.T) {
	p := newPod(t)
	other := t.TempDir()
	p.environ["aliyun_logs_web"] = p.logs + "/*.log," + other + "/*.txt," + p.logs + "/a.*"
	p.environ["aliyun_logs_web_tags_from"] = "POD_NAME:pod"
	p.write("a.log", "one\n")
	require.NoError(t, os.WriteFile(filepath.Join(other, "b.txt"), []byte("two\n"), 0o644))
	require.NoError(t, p.run()())
	require.Equal(t, []string{"one", "two"}, p.messages())
	require.Equal(t, "web-1", p.records()[0]["pod"])
}

func TestLabelsBecomeTags(t *testing.T) {
	p := newPod(t)
	labels := filepath.Join(t.TempDir(), "labels")
	require.NoError(t, os.WriteFile(labels, []byte("app=\"shop\"\nother=\"x\"\n"), 0o644))
	maps.Copy(p.environ, map[string]string{"REMORA_LABELS": labels, "REMORA_LABEL_TAGS": "app"})
	p.write("a.log", "one\n")
	require.NoError(t, p.run()())
	require.Equal(t, "shop", p.records()[0]["app"])
	require.NotContains(t, p.records()[0], "other")
}

func TestWhatIsLeftIsSaid(t *testing.T) {
	p := newPod(t)
	maps.Copy(p.environ, map[string]string{"LOGGING_OUTPUT": "http", "HTTP_URL": "http://127.0.0.1:1/", "REMORA_DRAIN_TIMEOUT": "500ms"})
	p.write("a.log", "never sent\n")
	err := p.run()()
	require.ErrorContains(t, err, "11 bytes of 1 files")
	var coded interface{ ExitCode() int }
	require.ErrorAs(t, err, &coded)
	require.Equal(t, command.ExitLeft, coded.ExitCode())
}

func TestWrongSettingsAreUsageErrors(t *testing.T) {
	for name, value := range map[string]string{"LOGGING_OUTPUT": "nowhere", "REMORA_READ_FROM": "middle", "REMORA_DRAIN_TIMEOUT": "soon"} {
		p := newPod(t)
		p.environ[name] = value
		err := p.run()()
		require.ErrorContains(t, err, name)
		var coded interface{ ExitCode() int }
		require.ErrorAs(t, err, &coded, name)
		require.Equal(t, command.ExitUsage, coded.ExitCode())
	}
}

func TestDamagedCheckpointsAreKeptAside(t *testing.T) {
	for name, content := range map[string]string{"corrupt": strings.Repeat("garbage", 10000), "foreign": "#!/bin/sh\n", "empty": ""} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t)
			file := filepath.Join(p.environ["REMORA_STATE_DIR"], "checkpoints.db")
			require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
			p.write("a.log", "one\n")
			require.NoError(t, p.run()())
			require.Equal(t, []string{"one"}, p.messages())
			if content != "" { // an empty file is a store that was never written
				kept, err := os.ReadFile(file + ".bad")
				require.NoError(t, err)
				require.Equal(t, content, string(kept))
			}
		})
	}
}

// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Both binaries tell their whole interface, and end with a code that means something.
func TestHelpAndVersion(t *testing.T) {
	for _, name := range []string{"remora-driver", "remora-sidecar"} {
		t.Run(name, func(t *testing.T) {
			help, err := exec.Command(binary(t, name), "--help").Output()
			if err != nil {
				t.Fatalf("--help: %v", err)
			}
			for _, word := range []string{name, "LOGGING_OUTPUT", "KAFKA_BROKERS", "REMORA_", "--version"} {
				if !bytes.Contains(help, []byte(word)) {
					t.Errorf("--help does not mention %s", word)
				}
			}
			version, err := exec.Command(binary(t, name), "--version").Output()
			if err != nil || len(bytes.TrimSpace(version)) == 0 || bytes.Contains(version, []byte("unknown")) {
				t.Errorf("--version: %v: %s", err, version)
			}
			if err := exec.Command(binary(t, name), "--no-such-flag").Run(); err == nil {
				t.Error("an unknown flag is accepted")
			}
		})
	}
}

// A setting that can't be worked with ends the sidecar at once, with one line that names variable and reason.
func TestWrongSettings(t *testing.T) {
	for name, c := range map[string]struct {
		settings, words []string
	}{
		"unknown output":           {[]string{"LOGGING_OUTPUT=kafak"}, []string{"kafak", "console", "elasticsearch", "file", "kafka"}},
		"kafka without brokers":    {[]string{"LOGGING_OUTPUT=kafka"}, []string{"KAFKA_BROKERS"}},
		"no number":                {[]string{"FILE_PATH=/tmp", "LOGGING_OUTPUT=file", "FILE_ROTATE_SIZE=much"}, []string{"FILE_ROTATE_SIZE"}},
		"state directory is there": {[]string{"REMORA_STATE_DIR=/proc/version/state"}, []string{"/proc/version/state"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t, c.settings...)
			s := p.start(t)
			if code := s.wait(t, 10*time.Second); code == 0 {
				t.Error("it ended with 0")
			}
			s.says(t, c.words...)
		})
	}
}

// A declaration that makes no sense, and a directory that is not there, are said; what else was declared is delivered.
func TestWrongDeclarationStopsNothing(t *testing.T) {
	p := newPod(t, "aliyun_logs_bad=relative/*.log", "aliyun_logs_gone=/no/such/directory/*.log",
		"aliyun_logs_odd=/var/log/odd.log", "aliyun_logs_odd_format=nonsense")
	p.put(t, "app.log", "delivered\n")
	s := p.start(t)
	s.says(t, "aliyun_logs_bad")
	s.says(t, "/no/such/directory")
	s.says(t, "aliyun_logs_odd_format", "nonsense")
	s.awaitOut(t, "delivered")
}

// A password is neither logged nor shown, whatever goes wrong.
func TestSecretsStaySecret(t *testing.T) {
	p := newPod(t, "LOGGING_OUTPUT=kafka", "KAFKA_BROKERS=127.0.0.1:1", "KAFKA_USERNAME=u", "KAFKA_PASSWORD=swordfish",
		"REMORA_DRAIN_TIMEOUT=1s")
	p.put(t, "app.log", "line\n")
	s := p.start(t)
	s.says(t, "127.0.0.1:1")
	s.terminate(t)
	if all := s.errors.String() + s.out.String(); strings.Contains(all, "swordfish") {
		t.Errorf("the password is in what it said: %s", all)
	}
	err := filepath.WalkDir(p.state, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte("swordfish")) {
			t.Errorf("the password is in %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What is kept on disk is for the owner alone, whatever the process's umask would allow: positions, sockets, written files.
// Directories of an output may be listed; the state directory around them may not.
func TestStateIsItsOwnersAlone(t *testing.T) {
	p := newPod(t, "LOGGING_OUTPUT=console,file")
	state := filepath.Join(p.state, "own")
	p.env = append(p.env, "REMORA_STATE_DIR="+state, "FILE_PATH="+filepath.Join(state, "logs"))
	p.put(t, "app.log", "delivered\n")
	before := syscall.Umask(0)
	s := p.start(t)
	syscall.Umask(before)
	s.awaitOut(t, "delivered")
	seen := 0
	err := filepath.WalkDir(state, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		seen++
		info, err := entry.Info()
		if err == nil && (!entry.IsDir() || path == state) && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is open to others: %v", path, info.Mode())
		}
		return err
	})
	if err != nil || seen < 4 {
		t.Fatalf("%d files and directories: %v", seen, err)
	}
}

// SPDX-License-Identifier: Apache-2.0

package containerd_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shown is what remora-node logs shows of a container: its standard output, and its standard error.
func (m *machine) shown(id string) (stdout, stderr string) {
	m.t.Helper()
	cmd := exec.Command(filepath.Join(m.dir, "remora-node"), "logs", id)
	cmd.Env = append(os.Environ(), "REMORA_CONTAINERD_SPOOL="+m.spool())
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	need(m.t, cmd.Run(), "remora-node logs %s: %s", id, &problems)
	return out.String(), problems.String()
}

// stored is what the spool holds of a container that writes to one stream.
func (m *machine) stored(id string) (all []byte) {
	m.t.Helper()
	segments, err := filepath.Glob(filepath.Join(m.spool(), "*_"+id+"_*", "*.seg")) // in the order of their offsets
	need(m.t, err)
	for _, name := range segments {
		b, err := os.ReadFile(name)
		need(m.t, err)
		all = append(all, b...)
	}
	return all
}

// lines are the lines of text as records have them: a carriage return before a newline belongs to the line's end.
func lines(text []byte) string {
	return strings.TrimSuffix(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")
}

// Bytes are stored and arrive as they were written: lines around the sizes of pages, of runtimes' pieces and of pipes; a line
// that never ends; bytes that are no text, NUL and broken UTF-8 among them.
func TestBytesArriveAsTheyWere(t *testing.T) {
	m := newMachine(t)
	var edges []byte
	for n, size := range []int{0, 1, 4095, 4096, 4097, 16383, 16384, 16385, 32767, 32768, 32769, 65535, 65536, 65537, 1 << 19} {
		edges = append(append(edges, bytes.Repeat([]byte{byte('a' + n)}, size)...), '\n')
	}
	unended := bytes.Repeat([]byte("no end "), 8<<20/7)
	binary := make([]byte, 1<<20)
	for i, random := 0, rand.New(rand.NewPCG(1, 2)); i < len(binary); i++ {
		binary[i] = byte(random.Uint32())
	}
	binary[len(binary)-1] = '\n'
	written := map[string][]byte{"edges": edges, "unended": unended, "binary": binary}
	for id, text := range written {
		need(t, os.WriteFile(filepath.Join(m.dir, "rootfs", id), text, 0o600))
		m.run(id, "--show", "/"+id)
	}
	for id, text := range written {
		m.remove(id)
		if got := m.stored(id); !bytes.Equal(got, text) {
			t.Errorf("%s: %d bytes are stored, which are not the %d that were written", id, len(got), len(text))
		}
		if got, _ := m.shown(id); strings.TrimSuffix(got, "\n") != lines(text) {
			t.Errorf("%s: %d bytes are shown, which are not the %d that were written", id, len(got), len(text))
		}
	}
	m.startAgent("FILE_FORMAT=raw")
	for id, text := range written {
		want, got := lines(text), ""
		eventually(t, func() bool {
			b, _ := os.ReadFile(filepath.Join(m.dir, "out", id+".log"))
			if got = string(b); id == "unended" { // which arrives in records of bounded size
				got = strings.ReplaceAll(got, "\n", "")
			}
			got = strings.TrimSuffix(got, "\n")
			return len(got) >= len(want)
		}, 10*time.Second, "%s has not arrived", id)
		if got != want {
			t.Errorf("%s: %d bytes arrived, which are not the %d that were written", id, len(got), len(want))
		}
	}
	m.nothingLeft()
}

// SPDX-License-Identifier: Apache-2.0

package notice

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write docs/messages.md")

const (
	root = "../../"
	page = root + "docs/messages.md"
)

// rooms are what the first digit of a code stands for.
var rooms = map[byte]string{'1': "Settings and start", '2': "Declarations and rules", '3': "Outputs and delivery", '4': "Files and streams",
	'5': "Capture and spool", '6': "Containers and runtimes", '7': "Records that kill the process"}

func TestTheTableIsSound(t *testing.T) {
	codes, texts := map[string]bool{}, map[string]bool{}
	for _, m := range All() {
		require.Regexp(t, `^REM[1-9]\d{3}$`, m.Code)
		require.NotEmpty(t, rooms[m.Code[3]], m.Code)
		require.False(t, codes[m.Code], "%s is there twice", m.Code)
		require.False(t, texts[m.What], "%q is there twice", m.What)
		codes[m.Code], texts[m.What] = true, true
		require.Regexp(t, "^[A-Z`].*[.]$", m.Cause, m.Code)
		require.Regexp(t, "^[A-Z`].*[.]$", m.Do, m.Code)
	}
}

func TestThePageListsEveryMessage(t *testing.T) {
	var b strings.Builder
	b.WriteString(`<!-- Written by go test ./shared/notice -run ThePage -update from shared/notice/table.go. -->
# Messages

Every error and warning of Remora has a code. It is in the log (` + "`code=REM3001`" + `), in ` + "`status`" + ` and ` + "`/status`" + `, and behind
errors of commands. A code keeps its meaning in all versions. The first digit says what it is about.
`)
	room := byte(0)
	for _, m := range All() {
		if m.Code[3] != room {
			room = m.Code[3]
			fmt.Fprintf(&b, "\n## %c: %s\n", room, rooms[room])
		}
		level := "Warning"
		if m.Level >= slog.LevelError {
			level = "Error"
		}
		fmt.Fprintf(&b, "\n### %s\n\n%s: `%s`\n\n- Cause: %s\n- What to do: %s\n", m.Code, level, m.What, m.Cause, m.Do)
	}
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(b.String()), 0o644))
		return
	}
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Equal(t, b.String(), string(text), "run go test ./shared/notice -run ThePage -update")
}

// direct is a warning or an error that is logged without the table.
var direct = regexp.MustCompile(`[lL]og(?:\([^)]*\)|ger\([^)]*\))?\.(?:Warn|Error|WarnContext|ErrorContext)\(`)

// Every warning and error that is logged is one of the table's, and each of these can be.
func TestEveryWarningHasACode(t *testing.T) {
	var source strings.Builder
	for _, dir := range []string{"shared", "node", "driver", "sidecar", "containerd"} {
		require.NoError(t, filepath.WalkDir(root+dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") ||
				strings.HasPrefix(path, root+"shared/notice/") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			source.Write(text)
			if found := direct.Find(text); found != nil {
				t.Errorf("%s: %s…: log a message of shared/notice", path, found)
			}
			return nil
		}))
	}
	table, err := os.ReadFile("table.go")
	require.NoError(t, err)
	names := regexp.MustCompile(`(?m)^\t(\w+)\s+= define\(`).FindAllStringSubmatch(string(table), -1)
	require.Len(t, names, len(All()))
	for _, name := range names {
		if !regexp.MustCompile(`notice\.` + name[1] + `\b`).MatchString(source.String()) {
			t.Errorf("nothing says %s", name[1])
		}
	}
}

func TestCodes(t *testing.T) {
	var b bytes.Buffer
	OutputFailed.Log(slog.New(slog.NewTextHandler(&b, nil)), "output", "kafka")
	require.Contains(t, b.String(), `level=WARN msg="output failed, retrying" code=REM3001 output=kafka`)
	plain := errors.New("no room")
	err := fmt.Errorf("start: %w", StateUnusable.Error(plain))
	require.EqualError(t, err, "start: no room")
	require.ErrorIs(t, err, plain)
	require.Equal(t, "REM1101", CodeOf(err))
	require.Empty(t, CodeOf(plain))
	require.NoError(t, StateUnusable.Error(nil))
}

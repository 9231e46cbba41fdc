// SPDX-License-Identifier: Apache-2.0

package command

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output/settings"
)

type testCLI struct {
	Run  testRun  `cmd:"" default:"1" help:"Run it."`
	Fail testFail `cmd:"" help:"Fail."`
}

type testRun struct{}

func (testRun) Run() error { return nil }

type testFail struct {
	Code int
}

func (f testFail) Run() error {
	err := errors.New("disk on fire")
	if f.Code != 0 {
		err = fmt.Errorf("while running: %w", WithCode(err, f.Code))
	}
	return err
}

func TestExitCodes(t *testing.T) {
	p := Program{Name: "remora-test", Version: "1", Settings: func() []settings.Section {
		return []settings.Section{{Title: "Part", Settings: []settings.Setting{{Name: "KEY", Default: "5s", Doc: "What it is.", Secret: true}}}}
	}}
	for _, c := range []struct {
		args   string
		code   int
		stderr string
	}{
		{"", 0, ""},
		{"run", 0, ""},
		{"fail", ExitFailure, "remora-test: disk on fire (REM1000)\n"},
		{"fail --code=3", ExitLeft, "remora-test: while running: disk on fire (REM3202)\n"},
		{"flail", ExitUsage, "remora-test: unexpected argument flail, did you mean \"fail\"? (REM1001)\n"},
	} {
		var stdout, stderr strings.Builder
		require.Equal(t, c.code, p.run(new(testCLI), strings.Fields(c.args), &stdout, &stderr), c.args)
		require.Equal(t, c.stderr, stderr.String(), c.args)
	}
}

func TestWithCodeKeepsNilNil(t *testing.T) {
	require.NoError(t, WithCode(nil, ExitUsage))
	require.True(t, IsUsage(fmt.Errorf("settings: %w", WithCode(errors.New("x"), ExitUsage))))
	require.False(t, IsUsage(errors.New("x")))
}

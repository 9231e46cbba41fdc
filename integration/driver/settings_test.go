// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
)

// A wrong setting keeps neither the plugin nor containers from starting, loses nothing, and can be seen with curl.
func TestWrongSettingIsToldAndLosesNothing(t *testing.T) {
	const lines = 1000
	e := engine.New(t)
	p := e.NewPlugin(t)
	p.Disable(t, false)
	p.Set(t, "LOGGING_OUTPUT=fiel")
	began := time.Now()
	p.Enable(t)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("enabling took %v; the engine gives up after 12 s", took)
	}
	c := e.Run(t, p.Name, nil, "-name", "a", "-lines", "1000")
	c.Wait(t)
	ready, err := exec.Command("curl", "-s", "--max-time", "10", "--unix-socket", "/run/docker/plugins/"+p.ID+"/status.sock", "http://remora/readyz").CombinedOutput()
	if err != nil || !strings.Contains(string(ready), `settings: LOGGING_OUTPUT: output "fiel" is not known`) {
		t.Errorf("/readyz answers %q, %v", ready, err)
	}
	p.Disable(t, false)
	p.Set(t, "LOGGING_OUTPUT=file")
	p.Enable(t)
	follow(p, defaultTarget).ExactlyOnce(t, time.Minute, "a", "stdout", lines)
}

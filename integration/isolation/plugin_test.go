// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"strconv"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/shared/telemetry"
)

// Twenty containers are served as if they were alone, whatever the others beside them declare and write.
func TestPluginServesInnocents(t *testing.T) {
	strangers := append(append(refused(), declaring()...), templates()...)
	e := engine.New(t)
	b := newBackend(t, verdicts(strangers))
	plugin := e.NewPlugin(t, b.settings()...)
	confinePlugin(t, plugin.PID(t))
	p := &driver{plugin, plugin.PID(t)}

	for _, s := range strangers {
		options := append([]string{"--name", "isolation-" + s.name, "--log-opt", "cache-disabled=true"}, s.options...)
		options = append(options, "--label", "aliyun.logs."+s.name+"=stdout")
		for key, value := range s.keys {
			options = append(options, "--label", "aliyun.logs."+s.name+"."+key+"="+value)
		}
		e.Run(t, plugin.Name, options, "-name", s.name, "-lines", strconv.Itoa(s.lines), "-size", strconv.Itoa(s.size), "-hold")
	}
	for _, name := range innocentNames() {
		e.Run(t, plugin.Name, []string{"--label", "aliyun.logs." + name + "=stdout"}, "-name", name, "-lines",
			strconv.Itoa(innocentLines), "-rate", strconv.Itoa(rate), "-size", "120", "-stamp", "-hold")
	}
	time.Sleep(duration)
	settle(t, p, b)
	unharmed(t, b)
	snapshot := func() telemetry.Snapshot { return ask(t, plugin.Inside(t, "/var/lib/remora/status.sock")) }
	complaints(t, snapshot, strangers)
	clean(t, snapshot())

	b.mend()
	arrive(t, b, strangers)
	p.alive(t)
}

// templates are strangers whose tag is a program.
func templates() []stranger {
	var all []stranger
	for name, tag := range map[string]string{
		"endless": `{{range 2000000000}}x{{end}}`,
		"printer": `{{printf "%2000000000d" 1}}`,
		"nested":  `{{range slice "aaaaaaaaaaaaaaaa" 0 16}}{{range slice "aaaaaaaaaaaaaaaa" 0 16}}{{pad "x" 100000 100000}}{{end}}{{end}}`,
	} {
		all = append(all, stranger{name: name, options: []string{"--log-opt", "tag=" + tag}, lines: 100, size: 60,
			says: []string{"tag"}, arrives: true})
	}
	return all
}

// driver is the plugin's process, as it was at the beginning.
type driver struct {
	*engine.Plugin
	pid int
}

// alive fails the test if the engine has had to start the plugin again.
func (d *driver) alive(t *testing.T) {
	t.Helper()
	if now := d.PID(t); now != d.pid {
		t.Fatalf("the plugin's process %d has died; %d is in its place", d.pid, now)
	}
}

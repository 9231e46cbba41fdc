// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"fmt"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"

	"github.com/remora-logs/remora/integration/engine"
)

// effect is how long an annotation may take: a kubelet writes the file at its next look at the Pod, which is due every
// minute or so at most, and the sidecar looks at the file every few seconds.
const effect = 70 * time.Second

// Annotations that are edited take effect while the Pod runs: a declaration that is added, changed, and taken back.
func TestAnnotationsTakeEffect(t *testing.T) {
	p := manual(t, "noted", "-name", "first", "-lines", "10", "-file", "/var/log/nginx/access.log", "-hold")
	second := p.Spec.Containers[0].DeepCopy()
	second.Name, second.Args = "second", []string{"-name", "second", "-lines", "-1", "-rate", "20", "-file", "/var/log/nginx/second.log"}
	p.Spec.Containers = append(p.Spec.Containers, *second)
	set(&p.Spec.InitContainers[0], "REMORA_ANNOTATIONS=/etc/podinfo/annotations")
	volume(&p.Spec, "podinfo", "/etc/podinfo", core.VolumeSource{DownwardAPI: &core.DownwardAPIVolumeSource{
		Items: []core.DownwardAPIVolumeFile{{
			Path: "annotations", FieldRef: &core.ObjectFieldSelector{FieldPath: "metadata.annotations"},
		}},
	}})
	apply(t, "pod", p.Name, p)
	started(t, p.Name)
	f := follow(t, p.Name)
	engine.Eventually(t, 30*time.Second, func() (bool, string) { return complete(f.numbers(t, "first"), 10) })
	if n := f.numbers(t, "second").Distinct; n > 0 {
		t.Fatalf("%d lines came of a file that nothing declares", n)
	}

	annotate(t, f, "added", func() bool { return f.numbers(t, "second").Has(100) }, "aliyun.logs.second=/logs/second.log")
	annotate(t, f, "changed", func() bool {
		records, _ := f.lines()
		return strings.Contains(records, `"tier":"back"`)
	}, "aliyun.logs.second.tags=tier=back")
	annotate(t, f, "taken back", func() bool { return strings.HasSuffix(inEffect(f), "selections=1 problems=0") },
		"aliyun.logs.second-", "aliyun.logs.second.tags-")
	before := f.numbers(t, "second").Distinct
	time.Sleep(5 * time.Second)
	if after := f.numbers(t, "second"); after.Distinct > before+20 {
		t.Errorf("%d lines came in 5 s after the declaration was taken back", after.Distinct-before)
	}
	if n := f.numbers(t, "second"); n.Missing(n.Distinct) > 0 || n.Twice > 0 {
		t.Errorf("a change of the tags has cost lines: missing %s, %d twice", n.Holes(n.Distinct), n.Twice)
	}
}

// annotate edits the Pod's annotations and waits until that shows.
func annotate(t *testing.T, f *followed, what string, shows func() bool, edits ...string) {
	t.Helper()
	began := time.Now()
	kubectl(t, append([]string{"annotate", "pod", "noted", "--overwrite"}, edits...)...)
	engine.Eventually(t, effect, func() (bool, string) {
		return shows(), fmt.Sprintf("an annotation that was %s has no effect: %s", what, inEffect(f))
	})
	t.Logf("%s: in effect after %v", what, time.Since(began).Round(100*time.Millisecond))
}

// inEffect is the last that the sidecar has said of its declarations.
func inEffect(f *followed) string {
	last := ""
	for line := range strings.Lines(f.said()) {
		if strings.Contains(line, "declarations applied") {
			last = strings.TrimSpace(line)
		}
	}
	return last
}

// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/kubernetes/cluster"
)

// The Pods that users copy, unchanged: all lines are on the sidecar's console, and it ends with nothing left.
func TestPodAsItIsShown(t *testing.T) {
	file, err := os.ReadFile(filepath.Join(root, "deploy", "kubernetes", "pod.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("deploy", func(t *testing.T) {
		uid, record := play(t, string(file))
		for key, want := range map[string]string{
			"team": "shop", "tier": "front", "k8s_pod": "web", "k8s_pod_namespace": "default", "k8s_pod_uid": uid,
			"k8s_node_name": cluster.Node, "host": cluster.Node, "k8s_container_name": "web",
		} {
			if record[key] != want {
				t.Errorf("%s is %v, want %s", key, record[key], want)
			}
		}
	})
	t.Run("docs", func(t *testing.T) {
		page, err := os.ReadFile(filepath.Join(root, "docs", "sidecar.md"))
		if err != nil {
			t.Fatal(err)
		}
		block := regexp.MustCompile("(?s)```yaml\n(spec:.*?)```").FindSubmatch(page)
		if block == nil {
			t.Fatal("docs/sidecar.md shows no Pod")
		}
		play(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n"+string(block[1]))
	})
}

// play runs the Pod until its application has written everything, and deletes it. It returns the Pod's UID and a record.
func play(t *testing.T, text string) (uid string, record map[string]any) {
	t.Helper()
	applyText(t, "pod", "web", text)
	p := started(t, "web")
	f := follow(t, "web")
	engine.Eventually(t, time.Minute, func() (bool, string) { return complete(f.numbers(t, "web"), webLines) })
	records, _ := f.lines()
	first, _ := bufio.NewReader(strings.NewReader(records)).ReadBytes('\n')
	if err := json.Unmarshal(first, &record); err != nil {
		t.Fatal(err)
	}
	t.Logf("the Pod is gone %v after it was deleted", remove(t, "web", f).Round(time.Millisecond))
	return string(p.UID), record
}

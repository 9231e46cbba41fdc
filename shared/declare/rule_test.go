// SPDX-License-Identifier: Apache-2.0

package declare_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/declare"
)

func rules(t *testing.T, yaml string) ([]*declare.Rule, []declare.Problem) {
	t.Helper()
	return declare.New("").Rules(declare.ReadFile("r.yml", []byte(yaml)))
}

// web is a container that every condition of the tests is held against.
var web = declare.Subject{
	Runtime: "containerd", Namespace: "shop-eu", Pod: "web-7d9-x", Container: "app", Image: "registry:5000/team/web:1.2",
	Labels: map[string]string{"io.x": "y"}, PodLabels: map[string]string{"tier": "web", "empty": ""},
	Annotations: map[string]string{"a/b": "1"}, Env: []string{"STAGE=TEST", "STAGE=PROD", "STAGEX=1", "EMPTY="},
}

func TestMatch(t *testing.T) {
	for match, want := range map[string]bool{
		`{}`:                                     true,
		`{namespace: shop-*}`:                    true,
		`{namespace: shop}`:                      false,
		`{namespace: [other, "shop-e?"]}`:        true,
		`{namespace: /eu$/}`:                     true,
		`{namespace: /^eu/}`:                     false,
		`{image: "registry:*/web:*"}`:            true,
		`{image: "*/nginx:*"}`:                   false,
		`{runtime: containerd, pod: web-*}`:      true,
		`{runtime: docker, pod: web-*}`:          false,
		`{label: {tier: web}}`:                   true,
		`{label: {tier: ""}}`:                    true,
		`{label: {empty: ""}}`:                   true,
		`{label: {missing: ""}}`:                 false,
		`{label: {missing: "*"}}`:                false,
		`{label: {tier: web, io.x: y}}`:          true,
		`{label: {tier: web, io.x: z}}`:          false,
		`{annotation: {a/b: "1"}}`:               true,
		`{annotation: {tier: web}}`:              false,
		`{env: {STAGE: PROD}}`:                   true,
		`{env: {STAGE: TEST}}`:                   false,
		`{env: {EMPTY: ""}}`:                     true,
		`{env: {STAG: ""}}`:                      false,
		`{not: {container: [istio-proxy]}}`:      true,
		`{not: {container: [x, app]}}`:           false,
		`{not: {label: {a: b, tier: web}}}`:      false,
		`{pod: "*", not: {env: {NONE: ""}}}`:     true,
		`{container: "a.p"}`:                     false,
		`{container: ["/a.p/", "nothing else"]}`: true,
	} {
		t.Run(match, func(t *testing.T) {
			all, problems := rules(t, "collect: [{name: r, match: "+match+", logs: {a: stdout}}]")
			require.Empty(t, problems)
			require.Equal(t, want, all[0].Match(&web))
		})
	}
}

func TestAWrongRuleIsRefusedAloneByNameAndLine(t *testing.T) {
	all, problems := rules(t, `collect:
- {name: good, match: {pod: web}, logs: {a: stdout}}
- name: regexp
  match: {pod: "/(/"}
  logs: {a: stdout}
- {name: word, match: {pods: web}, logs: {a: stdout}}
- {name: key, match: {}, logs: {a: stdout}, output: kafka}
- {name: value, match: {}, logs: {a: {path: /a.log, format: yaml}}}
- {name: nolog, match: {}}
- {name: nomatch, logs: {a: stdout}}
- {name: both, host: true, match: {}, logs: {a: /a.log}}
- {name: stdout, host: true, logs: {a: stdout}}
- {match: {}, logs: {a: stdout}}
- {name: good, match: {}, logs: {a: stdout}}
- {name: deep, match: {not: {not: {pod: a}}}, logs: {a: stdout}}
- {name: host, host: true, logs: {syslog: /var/log/syslog}}
- 7
`)
	var names []string
	for _, r := range all {
		names = append(names, r.Name)
	}
	require.Equal(t, []string{"good", "host"}, names)
	var text strings.Builder
	for _, p := range problems {
		fmt.Fprintln(&text, p.Key, p.Message)
	}
	for _, want := range []string{
		"collect.regexp.match.pod r.yml, line 4: ", "collect.word.match.pods r.yml, line 6: unknown key; did you mean",
		"collect.key.output r.yml, line 7: unknown key", "collect.value.logs.a.format r.yml, line 8: ", "collect.nolog.logs r.yml, line 9: ",
		"collect.nomatch.match r.yml, line 10: is missing", "collect.both.host r.yml, line 11: ", "collect.stdout.logs.a r.yml, line 12: ",
		"collect r.yml, line 13: a rule needs a name", "collect.good r.yml, line 14: there is a rule of this name already",
		"collect.deep.match.not.not r.yml, line 15: unknown key", "collect r.yml, line 17: a rule needs a name",
	} {
		require.Contains(t, text.String(), want)
	}
}

// What a container says of itself counts more than a rule, key by key, and of two rules the first.
func TestRulesComeLast(t *testing.T) {
	all, problems := rules(t, `collect:
- {name: one, match: {}, logs: {app: {path: /rule.log, format: json, tags: {team: rule}}, console: stdout}}
- {name: two, match: {}, logs: {app: /other.log, extra: /extra.log}}
`)
	require.Empty(t, problems)
	set := declare.New("").Read(declare.Input{Rules: all, Labels: map[string]string{"aliyun.logs.app": "/own.log"}})
	require.Empty(t, set.Errors)
	require.Len(t, set.Declarations, 3)
	require.Equal(t, "/own.log", set.Declarations[0].Source)
	require.Equal(t, "json", set.Declarations[0].Format)
	require.Equal(t, []string{"app", "console", "extra"}, []string{set.Declarations[0].Name, set.Declarations[1].Name, set.Declarations[2].Name})
	require.Len(t, set.Warnings, 1)
	require.Equal(t, "collect.two.logs.app", set.Warnings[0].Key)
}

func TestRulesAreWatched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.yml")
	write := func(text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	write("collect: [{name: a, match: {}, logs: {a: stdout}}, {name: b, match: {}, logs: {b: stdout}}]")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		var names, problems []string
		go declare.New("").WatchRules(ctx, path, func(rules []*declare.Rule, all []declare.Problem) {
			mu.Lock()
			defer mu.Unlock()
			names, problems = nil, nil
			for _, r := range rules {
				names = append(names, r.Name+strings.Join(r.Logs(), ""))
			}
			for _, p := range all {
				problems = append(problems, p.Key+" "+p.Message)
			}
		})
		look := func(want ...string) {
			time.Sleep(3 * time.Second)
			mu.Lock()
			defer mu.Unlock()
			require.Equal(t, want, names)
		}
		look("aa", "bb")
		write("collect: [{name: a, match: {}, logs: {a2: stdout}}, {name: b, match: {pod: '/(/'}, logs: {b2: stdout}}]")
		look("aa2", "bb")
		mu.Lock()
		require.Contains(t, strings.Join(problems, "\n"), "collect.b is invalid; the rule stays in effect as it was before")
		mu.Unlock()
		write("collect: [")
		look("aa2", "bb")
		require.NoError(t, os.Remove(path))
		look("aa2", "bb")
		write("collect: []")
		look()
		cancel()
		synctest.Wait()
		require.Empty(t, problems)
	})
}

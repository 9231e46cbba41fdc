// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The words of messages are for people; what matters is that they hold the value, the reason and the right spelling.
func TestMessages(t *testing.T) {
	long := "/" + strings.Repeat("é", 500) + "/"
	for _, c := range []struct {
		key, value string // of a label or a variable, beside the log a
		words      []string
	}{
		{"aliyun.logs.a.format", "jsno", []string{`"jsno"`, "json, klog", "did you mean json?"}},
		{"aliyun.logs.my.app", "/x", []string{"unknown key; the name of a log can't hold a dot"}},
		{"aliyun_logs_a_formt", "json", []string{`"json"`, "did you mean aliyun_logs_a_format?"}},
		{"aliyun_logs_a_format_timekey", "x", []string{"did you mean aliyun_logs_a_format_time_key?"}},
		{"aliyun_logs_b_target", "stdout", []string{"the log b, which is not declared", "by a label only"}},
		{"aliyun.logs.aa.target", "t", []string{"the log aa, which is not declared; did you mean a?"}},
		{"aliyun.logs.b", "/" + strings.Repeat("x", maxPath), []string{"longer than"}},
		{"aliyun.logs.a.keep", "(" + strings.Repeat("x", 5000), []string{"missing closing )"}},
		{"aliyun.logs.a.keep", "(?=\x1b" + strings.Repeat("x", 5000), []string{"missing closing )"}},
		{"aliyun.logs.b", "STDOUT", []string{`"STDOUT"`, "did you mean stdout?"}},
		{"aliyun.logs.b", "/var/log/", []string{"directory", "…/log/*.log"}},
		{"aliyun.logs.b", long, []string{"…"}},
		{"aliyun.logs.b c", "stdout", []string{`"b c"`, "only letters"}},
		{"aliyun.logs." + strings.Repeat("n", 250), "stdout", []string{"too long"}},
		{"aliyun.logs.a.multiline.preset", "jaav", []string{"did you mean java?"}},
		{"aliyun.logs.a.output", "kafak", []string{"console, kafka", "did you mean kafka?"}},
		{"aliyun.logs.a.mask", "emial", []string{"did you mean email?"}},
		{"aliyun.logs.a.format", "nginx\n", nil},
	} {
		in := Input{Labels: map[string]string{"aliyun.logs.a": "stdout"}, Env: []string{c.key + "=" + c.value}}
		set := New("", "console", "kafka").Read(in)
		if c.words == nil {
			assert.Empty(t, set.Errors)
			continue
		}
		require.Len(t, set.Errors, 1, c.key)
		assert.Equal(t, c.key, set.Errors[0].Key)
		for _, w := range c.words {
			assert.Contains(t, set.Errors[0].Message, w)
		}
		assert.Less(t, len(set.Errors[0].Message), 400)
		assert.False(t, hasControl(set.Errors[0].Message))
	}
}

func TestWarnings(t *testing.T) {
	for _, c := range []struct {
		label, value string
		words        string // of the only warning
	}{
		{"aliyun.log.b", "stdout", `did you mean "aliyun.logs.b"?`},
		{"aliyun_log_b_c", "stdout", `did you mean "aliyun_logs_b_c"?`},
		{"aliyun.logs.a.encoding", "gbk", "no effect on stdout"},
		{"aliyun.logs.a.multiline.max_lines", "5", "no effect without multiline.start"},
		{"aliyun.logs.a.tags", "x=1,offset=2", `the tag "offset" is left out`},
		{"aliyun.logs.a.tags.message", "hello", `the tag "message" is left out`},
		{"aliyun_logs_custom_config", "a.nonsense=true", `line 1: "a.nonsense" is ignored`},
		{"aliyun.logs.a.formt", "json", "unknown key; did you mean format?; the log is collected without it"},
		{"aliyun.logs.a.tag", "x=1", "did you mean tags?"},
		{"aliyun.logs.a.format.timekey", "x", "did you mean format.time_key?"},
		{"aliyun.logs.a.zzzzzzzz", "x", "unknown key"},
		{"aliyun.logs.a.topic", "x", "it is a tag"},
		{"aliyun_logs_a_drop_health", "/healthz", `is read as the key "drop.health" of the log a`},
		{"com.aliyun.access.x", "1", ""},
		{"PATH", "/bin", ""},
	} {
		set := New("").Read(Input{Labels: map[string]string{"aliyun.logs.a": "stdout", c.label: c.value}})
		assert.Empty(t, set.Errors, c.label)
		assert.Len(t, set.Declarations, 1)
		if c.words == "" {
			assert.Empty(t, set.Warnings)
			continue
		}
		require.Len(t, set.Warnings, 1, c.label)
		assert.Equal(t, c.label, set.Warnings[0].Key)
		assert.Contains(t, set.Warnings[0].Message, c.words)
	}
}

func TestValuesOfOthersAreNotShown(t *testing.T) {
	set := New("").Read(Input{
		Labels: map[string]string{"aliyun.log.secret": "hunter2", "com.aliyun.access.empty": ""},
		Env:    []string{"aliyun_log_key=hunter2", "aliyun_logs=hunter2", "aliyun_token=hunter2", "DB=hunter2", "aliyun.password=hunter2"},
	})
	assert.NotContains(t, fmt.Sprint(set), "hunter2")
	assert.Len(t, set.Errors, 1)
	assert.Len(t, set.Warnings, 2)
}

func TestPrefixesThatLoseAreWarnedAbout(t *testing.T) {
	set := New("aliyun,corp").Read(Input{Labels: map[string]string{
		"aliyun.logs.a": "stdout", "aliyun.logs.a.tags": "x=1", "corp.logs.a": "/y",
	}})
	assert.Empty(t, set.Errors)
	require.Len(t, set.Warnings, 2)
	assert.Contains(t, set.Warnings[0].Message, "the prefix corp declares a log named a too")
}

func TestMetadata(t *testing.T) {
	set := New("").Read(Input{Labels: map[string]string{
		"com.aliyun.access.app.name": "shop", "com.aliyun.access.empty": "", "com.aliyun.other": "x",
	}})
	assert.Equal(t, map[string]string{"com_aliyun_access_app_name": "shop"}, set.Metadata)
	assert.Nil(t, New("").Read(Input{}).Metadata)
}

func TestConcerns(t *testing.T) {
	d := New("aliyun,corp")
	for key, want := range map[string]bool{
		"aliyun.logs.a": true, "corp_logs_a": true, "aliyun_log_a": true,
		"aliyun": false, "aliyunx": false, "PATH": false, "": false,
	} {
		assert.Equal(t, want, d.Concerns(key), key)
	}
}

func TestOptions(t *testing.T) {
	in := Input{
		DefaultTarget: "docker",
		Others:        append([]string{"when-full"}, DockerOptions...),
		Options: map[string]string{
			"target": "t", "format": "csv", "format.keys": "a,b", "tags": "x=opt,y=opt", "rate-limit": "5",
			"tag": "{{.ID}}", "max-size": "10m", "when-full": "drop", "labels": "a", "fromat": "json", "sample": "none", "output": "",
		},
	}
	d := New("")

	set := d.Read(in)
	want := Declaration{
		Name: "docker", Source: Stdout, Target: "t", Format: "csv", FormatOptions: map[string]string{"keys": "a,b"},
		Tags: map[string]string{"x": "opt", "y": "opt"}, Filters: map[string]string{"rate_limit": "5"},
	}
	assert.Equal(t, []Declaration{want}, set.Declarations)
	assert.Empty(t, set.Errors)
	require.Len(t, set.Warnings, 2)
	assert.Equal(t, Problem{"fromat", "unknown option, ignored; did you mean format?"}, set.Warnings[0])
	assert.Equal(t, "sample", set.Warnings[1].Key)

	in.Labels = map[string]string{
		"aliyun.logs.a": "stdout", "aliyun.logs.a.format": "json", "aliyun.logs.a.tags": "x=own", "aliyun.logs.docker": "/file",
	}
	set = d.Read(in)
	require.Len(t, set.Declarations, 2)
	want.Name, want.Format, want.FormatOptions, want.Tags["x"] = "a", "json", map[string]string{}, "own"
	assert.Equal(t, want, set.Declarations[0], "what it does not say itself")
	assert.Equal(t, Declaration{Name: "docker", Source: "/file", Target: "docker", Format: "none",
		FormatOptions: map[string]string{}, Tags: map[string]string{}}, set.Declarations[1], "options are of stdout")
}

func TestOptionsThatAreWrongTogetherAreIgnoredTogether(t *testing.T) {
	set := New("").Read(Input{DefaultTarget: "docker", Options: map[string]string{"format": "nginx", "format.keys": "a", "target": "t"}})
	require.Len(t, set.Declarations, 1)
	assert.Equal(t, "none", set.Declarations[0].Format)
	assert.Equal(t, "t", set.Declarations[0].Target)
	assert.Empty(t, set.Errors)
	assert.Equal(t, []string{"format", "format.keys"}, []string{set.Warnings[0].Key, set.Warnings[1].Key})
}

func TestUndeclaredStdout(t *testing.T) {
	d := New("")
	for _, c := range []struct {
		target string
		labels map[string]string
		want   []string // name>target
	}{
		{"docker", nil, []string{"docker>docker"}},
		{"all logs/é", nil, []string{"all_logs__>all logs/é"}},
		{"", nil, []string{}},
		{"docker", map[string]string{"aliyun.logs.a": "stdout"}, []string{"a>a"}},
		{"docker", map[string]string{"aliyun.logs.a": "/x"}, []string{"a>a", "docker>docker"}},
		{"docker", map[string]string{"aliyun.logs.docker": "/x"}, []string{"docker>docker", "docker_2>docker"}},
		{"docker", map[string]string{"aliyun.logs.a": "stdout", "aliyun.logs.a.format": "xml"}, []string{"docker>docker"}},
	} {
		got := []string{}
		for _, decl := range d.Read(Input{DefaultTarget: c.target, Labels: c.labels}).Declarations {
			got = append(got, decl.Name+">"+decl.Target)
		}
		assert.Equal(t, c.want, got, c.labels)
	}
}

// FuzzRead declares whatever comes, and one sound log beside it, which nothing else may change; nor may one container
// change another that is read by the same Dialect.
func FuzzRead(f *testing.F) {
	for _, path := range []string{"testdata/declarations.json", "testdata/more.json"} {
		for _, c := range load(f, path) {
			var labels []string
			for _, key := range slices.Sorted(maps.Keys(c.Labels)) {
				labels = append(labels, key+"="+c.Labels[key])
			}
			f.Add(c.Prefix, strings.Join(labels, "\x1e"), strings.Join(c.Env, "\x1e"))
		}
	}
	f.Fuzz(func(t *testing.T, prefix, labels, env string) {
		d := New(prefix)
		in := Input{Labels: map[string]string{}, Options: map[string]string{}, Env: strings.Split(env, "\x1e")}
		for label := range strings.SplitSeq(labels, "\x1e") {
			key, value, _ := strings.Cut(label, "=")
			in.Labels[key], in.Options[key] = value, value
		}
		own := d.prefixes[0].label + "sound"
		other := Input{Labels: map[string]string{own: "/sound.log", own + ".tags": "k=v"}}
		want := d.Read(other)

		set := d.Read(in)
		for i, decl := range set.Declarations {
			require.True(t, isName(decl.Name))
			for _, source := range decl.sources() {
				require.True(t, source == Stdout || source[0] == '/')
			}
			require.True(t, i == 0 || set.Declarations[i-1].Name < decl.Name)
			_, err := ParseFilters(decl.Filters)
			require.NoError(t, err)
			_, err = ParseMultiline(decl.Multiline)
			require.NoError(t, err)
		}
		for _, p := range slices.Concat(set.Errors, set.Warnings) {
			require.False(t, hasControl(p.Message), p.Message)
			require.Less(t, len(p.Message), 4000)
		}
		require.Equal(t, set, d.Read(in), "the same again")
		for _, decl := range set.Declarations {
			decl.Tags["changed"], decl.FormatOptions["changed"] = "x", "x"
		}
		require.Equal(t, want, d.Read(other), "another container's")
	})
}

// BenchmarkRead reads ten thousand containers with five declarations each: to take less than a second.
func BenchmarkRead(b *testing.B) {
	d := New("")
	in := Input{Labels: map[string]string{"maintainer": "x", "com.docker.compose.project": "shop"}}
	for i := range 5 {
		key := fmt.Sprintf("aliyun.logs.log%d", i)
		in.Labels[key] = fmt.Sprintf("/var/log/app/%d*.log", i)
		in.Labels[key+".format"] = "json"
		in.Labels[key+".format.time_key"] = "ts"
		in.Labels[key+".tags"] = "team=web,stage=prod"
		in.Env = append(in.Env, fmt.Sprintf("aliyun_logs_log%d_multiline_start=^\\d{4}-%d", i, i), fmt.Sprintf("OTHER_%d=value", i))
	}
	for _, containers := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("containers=%d", containers), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for range containers {
					if set := d.Read(in); len(set.Declarations) != 5 || len(set.Errors) != 0 {
						b.Fatal(set)
					}
				}
			}
		})
	}
}

// What a container costs does not depend on how many were read before it, and hardly on variables that are not ours.
func TestReadAllocatesInProportion(t *testing.T) {
	read := func(declarations, others int) float64 {
		in := Input{}
		for i := range declarations {
			in.Env = append(in.Env, fmt.Sprintf("aliyun_logs_log%d=/var/log/%d.log", i, i), fmt.Sprintf("aliyun_logs_log%d_format=json", i))
		}
		for i := range others {
			in.Env = append(in.Env, fmt.Sprintf("OTHER_%d=x", i))
		}
		d := New("")
		return testing.AllocsPerRun(20, func() { d.Read(in) })
	}
	few, many := read(50, 0), read(500, 0)
	assert.Less(t, many, 11*few)
	assert.InDelta(t, few, read(50, 10_000), 5)
}

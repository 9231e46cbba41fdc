// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/declare"
)

// explain runs the command as a binary would, and returns what it prints and its exit status.
func explain(t *testing.T, host string, args ...string) (string, int, error) {
	t.Helper()
	t.Setenv("PILOT_LOG_PREFIX", "")
	cli := struct {
		Explain Command `cmd:""`
	}{Explain: Command{DefaultTarget: "docker", Options: []string{"when-full"}, Host: host, CheckOptions: checkOptions}}
	var out strings.Builder
	parser, err := kong.New(&cli, kong.Writers(&out, &out), kong.Exit(func(int) {}))
	require.NoError(t, err)
	ctx, err := parser.Parse(append([]string{"explain"}, args...))
	require.NoError(t, err)
	err = ctx.Run()
	var coder kong.ExitCoder
	switch {
	case err == nil:
		return out.String(), 0, nil
	case errors.As(err, &coder):
		return out.String(), coder.ExitCode(), err
	}
	t.Fatal("an error without an exit status: ", err)
	return "", 0, nil
}

// checkOptions plays the driver's part.
func checkOptions(options map[string]string) []declare.Problem {
	if v := options["when-full"]; v != "" && v != "drop" {
		return []declare.Problem{{Key: "when-full", Message: v}}
	}
	return nil
}

func TestJSON(t *testing.T) {
	out, code, err := explain(t, "", "--json", "--label", "aliyun.logs.b=/l/*.log,x", "--env", "aliyun_logs_a=stdout")
	require.NoError(t, err)
	assert.Zero(t, code)
	assert.Equal(t, `{"declarations":[{"name":"a","source":"stdout","format":"none","format_options":{},"tags":{},"target":"a"},`+
		`{"name":"b","source":"/l/*.log,x","format":"none","format_options":{},"tags":{},"target":"b"}],"errors":[],"warnings":[]}`+"\n", out)

	out, code, err = explain(t, "", "--json", "--prefix", "aliyun,corp", "--label=corp.logs.c=stdout", "--label=corp.logs.c.format=<xml>", "--annotation=aliyun.log.x=y")
	assert.EqualError(t, err, "1 error")
	assert.Equal(t, 1, code)
	var r report
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	assert.Equal(t, []declare.Declaration{}, r.Declarations)
	require.Len(t, r.Errors, 1)
	assert.Equal(t, "corp.logs.c.format", r.Errors[0].Key)
	require.Len(t, r.Warnings, 1)
	assert.Contains(t, out, `"key":"corp.logs.c.format","message":"\"<xml>\" is none of`)
}

func TestTable(t *testing.T) {
	out, code, err := explain(t, "",
		"--label", "aliyun.logs.web=stdout", "--label", "aliyun.logs.web.format=json", "--label", "aliyun.logs.web.format.time_key=ts",
		"--label", "aliyun.logs.web.tags=team=shop", "--label", "com.aliyun.access.app=shop front",
		"--env", "aliyun_logs_access=/logs/*.log", "--env", "aliyun_logs_access_multiline_start=^\x1b[", "--env", "aliyun_logs_access_output=kafka",
		"--env", "aliyun_logs_bad=STDOUT", "--env", "aliyun_logs_worse=x", "--env", "aliyun_log_x=y")
	assert.EqualError(t, err, "3 errors")
	assert.Equal(t, 1, code)
	assert.Equal(t, `NAME  SOURCE  TARGET  FORMAT            TAGS       MORE
web   stdout  web     json time_key=ts  team=shop  -
every record is tagged com_aliyun_access_app="shop front"

Errors:
  aliyun_logs_access_multiline_start: "^\x1b[" is not a regular expression: unterminated [] set
  aliyun_logs_bad: "STDOUT" is neither stdout nor an absolute path; did you mean stdout?
  aliyun_logs_worse: "x" is neither stdout nor an absolute path

Warnings:
  aliyun_log_x: is ignored; did you mean "aliyun_logs_x"?
`, out)
}

func TestTableOfNothing(t *testing.T) {
	out, code, err := explain(t, "", "--label", "maintainer=x", "--env", "PATH=/bin")
	require.NoError(t, err)
	assert.Zero(t, code)
	assert.Equal(t, "No log is collected.\n", out)
}

func TestTableEscapes(t *testing.T) {
	out, _, err := explain(t, "", "--label", "aliyun.logs.a=/my logs/\u202ex", "--label", "aliyun.logs.a.output=kafka,file", "--label", "aliyun.logs.a.keep=\x1b")
	require.NoError(t, err)
	assert.Contains(t, out, `"/my logs/\u202ex"`)
	assert.Contains(t, out, `output=kafka,file keep="\x1b"`)
	assert.NotContains(t, out, "\x1b")
}

func TestWrongCalls(t *testing.T) {
	for _, args := range [][]string{
		{}, {"--json"}, {"--label", "x"}, {"--label", "=x"}, {"--annotation", "x"}, {"--env", "x"},
		{"--label", "a=b", "--file", "testdata/pod.yaml"}, {"--container", "c", "--file", "testdata/pod.yaml"}, {"--env", "a=b", "--container", "c"},
		{"--file", "testdata/none.yaml"}, {"--file", "testdata"}, {"--file", "command_test.go"},
	} {
		out, code, err := explain(t, "", args...)
		assert.Equal(t, 2, code, "%v: %v", args, err)
		assert.Empty(t, out)
		assert.Error(t, err)
	}
}

// collected is container/name of each declaration.
func collected(t *testing.T, out string) (r report, names []string) {
	require.NoError(t, json.Unmarshal([]byte(out), &r), out)
	for _, d := range r.Declarations {
		names = append(names, d.Container+"/"+d.Name)
	}
	return r, names
}

func TestPod(t *testing.T) {
	out, code, _ := explain(t, "", "--json", "--file", "testdata/pod.yaml")
	assert.Equal(t, 1, code)
	r, names := collected(t, out)
	// The sidecar's prefix and environment hold for the annotations; the other containers are read by themselves.
	assert.Equal(t, []string{"web/access"}, names)
	assert.Equal(t, map[string]string{"team": "web"}, r.Declarations[0].Tags)
	require.Len(t, r.Errors, 1)
	assert.Equal(t, "aliyun_logs_web_format", r.Errors[0].Key)
	assert.Equal(t, "web", r.Errors[0].Container)
	require.Len(t, r.Warnings, 1)
	assert.Equal(t, "corp_logs_secret", r.Warnings[0].Key)
	assert.Contains(t, r.Warnings[0].Message, "valueFrom")
}

func TestPodTemplates(t *testing.T) {
	out, code, err := explain(t, "", "--json", "--file", "testdata/workloads.yaml")
	require.NoError(t, err)
	assert.Zero(t, code)
	_, names := collected(t, out)
	assert.Equal(t, []string{"two/c", "one/d", "three/l", "/noted"}, names)
}

func TestCompose(t *testing.T) {
	out, code, err := explain(t, "", "--json", "--file", "testdata/compose.yaml")
	require.NoError(t, err)
	assert.Zero(t, code)
	r, names := collected(t, out)
	assert.Equal(t, []string{"web/common", "quiet/docker", "web/web", "worker/worker"}, names)
	assert.Equal(t, "json", r.Declarations[2].Format, "by log-opt")
	assert.Equal(t, map[string]string{"a": "b=c"}, r.Declarations[3].Tags)
	assert.Equal(t, "^$", r.Declarations[3].Filters["drop"])
	assert.Equal(t, map[string]string{"com_aliyun_access_app": "shop"}, r.Metadata)
	assert.NotContains(t, out, "hunter2")
	require.Len(t, r.Warnings, 2)
	assert.Equal(t, "nonsense", r.Warnings[0].Key)
	assert.Equal(t, "aliyun.logs.lost", r.Warnings[1].Key)
}

func TestConfigFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "remora.yaml")
	require.NoError(t, os.WriteFile(path, []byte("logs:\n  a: stdout\n  b: {path: /b, formt: json}\n"), 0o600))
	out, code, _ := explain(t, "", "--json", "--file", path)
	assert.Equal(t, 1, code)
	r, names := collected(t, out)
	assert.Equal(t, []string{"/a"}, names)
	require.Len(t, r.Errors, 1)
	assert.Equal(t, "logs.b.formt", r.Errors[0].Key)
	assert.Contains(t, r.Errors[0].Message, "line 3: unknown key; did you mean format?")
}

// engine answers on a Unix socket as Docker's does.
func engine(t *testing.T) (host string) {
	socket := filepath.Join(t.TempDir(), "docker.sock")
	listener, err := net.Listen("unix", socket)
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containers/web/json", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"Id":"1","Config":{"Labels":{"aliyun.logs.web":"stdout"},"Env":["PASSWORD=hunter2","aliyun_logs_web_tags=a=b"]},
			"HostConfig":{"LogConfig":{"Type":"remora:latest","Config":{"format":"json","max-size":"1m","when-full":"drop"}}}}`))
	})
	mux.HandleFunc("GET /containers/quiet/json", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"Config":{},"HostConfig":{"LogConfig":{"Type":"remora"}}}`))
	})
	mux.HandleFunc("GET /containers/other/json", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"Config":{},"HostConfig":{"LogConfig":{"Type":"json-file","Config":{"target":"x"}}}}`))
	})
	mux.HandleFunc("GET /containers/full/json", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"Id":"0123456789abcdef","Name":"/full","Config":{"Image":"i","Labels":{"corp.logs.access":"/logs/*.log","team":"a"},
			"Env":["PASSWORD=hunter2","STAGE=test"]},"HostConfig":{"LogConfig":{"Type":"registry.example/remora:2","Config":{"labels":"team","env":"STAGE,PASSWORD",
			"tag":"{{range 9}}{{end}}","max-size":"1m","when-full":"explode","cache-disabled":"true","formt":"json"}}}}`))
	})
	mux.HandleFunc("GET /plugins/registry.example/remora:2/json", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"Settings":{"Env":["PILOT_LOG_PREFIX=corp","REMORA_DEFAULT_TARGET=all","KAFKA_PASSWORD=hunter2","LOGGING_OUTPUT=kafka"]}}`))
	})
	mux.HandleFunc("GET /containers/elsewhere/json", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"Config":{"Labels":{"aliyun.logs.a":"stdout"}},"HostConfig":{"LogConfig":{"Type":"json-file"}}}`))
	})
	mux.HandleFunc("GET /containers/torn/json", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"Config":`)) })
	mux.HandleFunc("GET /containers/broken/json", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"message":"No such container: a/b"}`))
	})
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: mux}}
	server.Start()
	t.Cleanup(server.Close)
	return "unix://" + socket
}

func TestContainer(t *testing.T) {
	host := engine(t)
	out, code, err := explain(t, host, "--container", "web", "--json")
	require.NoError(t, err)
	assert.Zero(t, code)
	assert.Equal(t, `{"declarations":[{"name":"web","source":"stdout","format":"json","format_options":{},"tags":{"a":"b"},"target":"web"}],"errors":[],"warnings":[]}`+"\n", out)

	out, _, err = explain(t, host, "--container", "quiet")
	require.NoError(t, err)
	assert.Contains(t, out, "docker  stdout  docker  none")

	out, _, err = explain(t, host, "--container", "other")
	require.NoError(t, err)
	assert.Equal(t, "No log is collected.\n", out)
}

// What the driver does is more than what is declared.
func TestContainerOfTheDriver(t *testing.T) {
	host := engine(t)
	out, code, err := explain(t, host, "--container", "full")
	require.NoError(t, err)
	assert.Zero(t, code)
	for _, part := range []string{
		"access  /logs/*.log  access  none", "all     stdout       all     none",
		"stdout and stderr are collected because the container uses this log driver; nothing declares them",
		"every record is tagged with PASSWORD, STAGE, team, as the options",
		"access: /logs/*.log is a file: the log driver collects stdout and stderr only",
		"--log-opt: log option tag: ", "{{range 9}}{{end}}", "is not allowed",
		"max-size: has no effect: the engine keeps no cache, because cache-disabled is set",
		"when-full: explode",
		"formt: unknown option, ignored; did you mean format?",
	} {
		assert.Contains(t, out, part)
	}
	assert.NotContains(t, out, "hunter2")

	out, _, err = explain(t, host, "--container", "elsewhere")
	require.NoError(t, err)
	assert.Contains(t, out, "the container's log driver is json-file: the plugin collects nothing of it")
}

func TestContainerThatCannotBeRead(t *testing.T) {
	host := engine(t)
	for name, c := range map[string]struct{ host, words string }{
		"a/b":    {host, "container a/b: the engine answers: No such container"},
		"torn":   {host, "the engine's answer: unexpected EOF"},
		"broken": {host, "the engine answers: 502 Bad Gateway"},
		"web":    {"unix:///nonexistent.sock", "asking the engine"},
		"tcp":    {"tcp://127.0.0.1:1", "is not of the form unix:///path"},
	} {
		_, code, err := explain(t, c.host, "--container", name)
		assert.Equal(t, 2, code)
		assert.ErrorContains(t, err, c.words, name)
	}
}

func TestChosen(t *testing.T) {
	for driver, want := range map[string]bool{
		"remora": true, "remora:latest": true, "registry:5000/team/remora:1": true,
		"": false, "json-file": false, "remora-x": false, "remora/x": false,
	} {
		assert.Equal(t, want, IsRemora(driver), driver)
	}
}

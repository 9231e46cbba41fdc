package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// collectors are all that are known; peers only take part where they are installed.
func collectors(j *job) []collector {
	all := []collector{
		{"bare loop", func(j *job) (*exec.Cmd, error) {
			if j.parse || j.codec != "" || j.kafka {
				return nil, fmt.Errorf("the bare loop only carries raw lines, to Elasticsearch")
			}
			self, err := os.Executable()
			return exec.Command(self, "bare", j.file, j.url()+"/bench/_bulk"), err
		}},
		{"remora", remora},
	}
	for name, command := range map[string]func(string, *job) (*exec.Cmd, error){"fluent-bit": fluentBit, "rsyslogd": rsyslog} {
		if bin := peer(name); bin != "" {
			all = append(all, collector{name, func(j *job) (*exec.Cmd, error) { return command(bin, j) }})
		}
	}
	return all
}

// peer finds a peer's binary: in PEERS, a list of paths separated by spaces or commas, or in PATH.
func peer(name string) string {
	for path := range strings.FieldsFuncSeq(os.Getenv("PEERS"), func(r rune) bool { return r == ' ' || r == ',' }) {
		if filepath.Base(path) == name {
			return path
		}
	}
	path, _ := exec.LookPath(name)
	return path
}

// remora is the sidecar with all its tags and its checkpoints.
func remora(j *job) (*exec.Cmd, error) {
	cmd := exec.Command(filepath.Join(j.bins, "remora-sidecar"))
	cmd.Env = append(os.Environ(),
		"aliyun_logs_bench="+j.file, "REMORA_STATE_DIR="+j.dir, "LOGGING_OUTPUT=elasticsearch",
		"ELASTICSEARCH_HOSTS="+j.url(), "ELASTICSEARCH_INDEX=bench", "POD_NAME=shop-web-1", "POD_NAMESPACE=shop", "POD_UID=0123",
		"NODE_NAME=node-1", "CONTAINER_NAME=web")
	if j.parse {
		cmd.Env = append(cmd.Env, "aliyun_logs_bench_format="+j.kind)
	}
	if j.codec != "" {
		cmd.Env = append(cmd.Env, "ELASTICSEARCH_COMPRESSION="+j.codec)
	}
	if j.kafka {
		cmd.Env = append(cmd.Env, "LOGGING_OUTPUT=kafka", fmt.Sprintf("KAFKA_BROKERS=127.0.0.1:%d", j.port))
	}
	return cmd, nil
}

// fluentBit follows its guide's advice for throughput: large buffers for tail, a worker for the output, no retries that
// lose data, the position in a database as Remora has its checkpoints. It sends no identity of its records: its
// Generate_ID costs it two thirds of its speed.
func fluentBit(bin string, j *job) (*exec.Cmd, error) {
	if j.codec == "zstd" || j.kafka {
		return nil, fmt.Errorf("fluent-bit takes part in what its es output has: raw and gzip")
	}
	parser, parserFile := "", ""
	if j.parse {
		parser = "    Parser " + j.kind + "\n"
		parserFile = filepath.Join(j.dir, "parsers.conf")
		if err := os.WriteFile(parserFile, []byte(fluentBitParsers), 0o600); err != nil {
			return nil, err
		}
	}
	compress := ""
	if j.codec == "gzip" {
		compress = "    Compress gzip\n"
	}
	head := "[SERVICE]\n    Flush 0.2\n    Log_Level warn\n"
	if parserFile != "" {
		head += "    Parsers_File " + parserFile + "\n"
	}
	conf := head + fmt.Sprintf(`
[INPUT]
    Name tail
    Path %s
    Tag bench
    DB %s/tail.db
    Read_from_Head On
    Buffer_Chunk_Size 1M
    Buffer_Max_Size 8M
    Mem_Buf_Limit 50M
%s
[FILTER]
    Name record_modifier
    Match *
    Record k8s_pod shop-web-1
    Record k8s_pod_namespace shop
    Record k8s_pod_uid 0123
    Record k8s_node_name node-1
    Record k8s_container_name web

[OUTPUT]
    Name es
    Match *
    Host 127.0.0.1
    Port %d
    Index bench
    Suppress_Type_Name On
    Retry_Limit False
    Workers 1
    Buffer_Size False
%s`, j.file, j.dir, parser, j.port, compress)
	path := filepath.Join(j.dir, "fluent-bit.conf")
	return exec.Command(bin, "-c", path), os.WriteFile(path, []byte(conf), 0o600)
}

const fluentBitParsers = `
[PARSER]
    Name json
    Format json
    Time_Key time
    Time_Format %Y-%m-%dT%H:%M:%S.%LZ

[PARSER]
    Name nginx
    Format regex
    Regex ^(?<remote>[^ ]*) (?<host>[^ ]*) (?<user>[^ ]*) \[(?<time>[^\]]*)\] "(?<method>\S+)(?: +(?<path>[^\"]*?)(?: +\S*)?)?" (?<code>[^ ]*) (?<size>[^ ]*)(?: "(?<referer>[^\"]*)" "(?<agent>[^\"]*)")
    Time_Key time
    Time_Format %d/%b/%Y:%H:%M:%S %z
`

// rsyslog reads with imfile and sends with omelasticsearch, in bulk, with a queue of its own.
func rsyslog(bin string, j *job) (*exec.Cmd, error) {
	if j.codec != "" || j.kafka || j.parse && j.kind != "json" {
		return nil, fmt.Errorf("rsyslog is set up for raw lines and JSON, uncompressed")
	}
	template := `template(name="doc" type="list" option.jsonf="on") {
  property(outname="@timestamp" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="message" name="msg" format="jsonf")
  constant(outname="k8s_pod" value="shop-web-1" format="jsonf")
  constant(outname="k8s_pod_namespace" value="shop" format="jsonf")
  constant(outname="k8s_pod_uid" value="0123" format="jsonf")
  constant(outname="k8s_node_name" value="node-1" format="jsonf")
  constant(outname="k8s_container_name" value="web" format="jsonf")
}`
	action := ""
	if j.parse {
		action = `action(type="mmjsonparse" cookie="")
set $!k8s_pod = "shop-web-1"; set $!k8s_pod_namespace = "shop"; set $!k8s_pod_uid = "0123"; set $!k8s_node_name = "node-1"; set $!k8s_container_name = "web";`
		template = `template(name="doc" type="subtree" subtree="$!")`
	}
	conf := fmt.Sprintf(`
global(workDirectory="%s" maxMessageSize="64k")
module(load="imfile")
module(load="omelasticsearch")
module(load="mmjsonparse")
%s
input(type="imfile" File="%s" Tag="bench" freshStartTail="off" readMode="0")
%s
action(type="omelasticsearch" server="127.0.0.1" serverport="%d" template="doc" searchIndex="bench" searchType="" bulkmode="on"
  maxbytes="4m" action.resumeretrycount="-1" queue.type="linkedlist" queue.size="50000" queue.dequeuebatchsize="5000"
  queue.workerthreads="1")
`, j.dir, template, j.file, action, j.port)
	path := filepath.Join(j.dir, "rsyslog.conf")
	return exec.Command(bin, "-n", "-f", path, "-i", filepath.Join(j.dir, "pid")), os.WriteFile(path, []byte(conf), 0o600)
}

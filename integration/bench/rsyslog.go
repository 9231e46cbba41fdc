// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// rsyslog reads with imfile and sends with omelasticsearch, in bulk, with its own queue.
func rsyslog(bin string, j *job) (*exec.Cmd, error) {
	if j.codec != "" || j.kafka || j.form.name != "" || j.parse && j.kind != "json" {
		return nil, fmt.Errorf("%w: it is set up for raw lines and JSON, uncompressed", errNoPart)
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

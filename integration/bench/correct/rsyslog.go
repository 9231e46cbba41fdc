// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// rsyslog has a disk-assisted queue that is saved on shutdown, stores its positions often, retries for ever, and resends what
// the backend was too busy for, as its pages on reliable forwarding and omelasticsearch advise.
type rsyslog struct{}

func (rsyslog) name() string { return "rsyslogd" }

func (rsyslog) version(bin string) string { return saidVersion(bin, "-v") }

func (rsyslog) form() form { return plain }

func (rsyslog) command(bin string, p *place) (*exec.Cmd, error) {
	var conf strings.Builder
	fmt.Fprintf(&conf, `
global(workDirectory="%s" maxMessageSize="4m")
module(load="imfile")
module(load="omelasticsearch")
template(name="doc" type="list" option.jsonf="on") {
  property(outname="@timestamp" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="message" name="msg" format="jsonf")
}
`, p.state)
	for _, s := range p.streams() {
		fmt.Fprintf(&conf, `
input(type="imfile" File="%s" Tag="%s" ruleset="%[2]s" freshStartTail="off" readMode="0" persistStateInterval="100"
  persistStateAfterSubmission="on" reopenOnTruncate="on")
ruleset(name="%[2]s") {
  action(type="omelasticsearch" server="127.0.0.1" serverport="%d" template="doc" searchIndex="%s" searchType="" bulkmode="on"
    maxbytes="8m" retryfailures="on" retryruleset="%[2]s" action.resumeRetryCount="-1" action.resumeInterval="1"
    queue.type="linkedList" queue.filename="%[2]s" queue.size="50000" queue.maxDiskSpace="1g" queue.saveOnShutdown="on"
    queue.syncQueueFiles="on" queue.checkpointInterval="100" queue.dequeueBatchSize="1000")
}
`, s.path, s.name, p.port, s.index)
	}
	path := filepath.Join(p.dir, "rsyslog.conf")
	return exec.Command(bin, "-n", "-f", path, "-i", filepath.Join(p.dir, "pid")), os.WriteFile(path, []byte(conf.String()), 0o600)
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// fluentBit keeps its positions in a database and its buffer in the file system, and retries for ever, as its pages "Buffering
// and storage" and "Scheduling and retries" advise. It follows a renamed file for 30 s.
type fluentBit struct{}

func (fluentBit) name() string { return "fluent-bit" }

func (fluentBit) version(bin string) string { return saidVersion(bin, "--version") }

func (fluentBit) form() form { return plain }

func (fluentBit) command(bin string, p *place) (*exec.Cmd, error) {
	var conf strings.Builder
	fmt.Fprintf(&conf, `[SERVICE]
    Flush 0.5
    Log_Level info
    storage.path %s/buffer
    storage.sync full
    storage.max_chunks_up 128
`, p.state)
	for _, s := range p.streams() {
		fmt.Fprintf(&conf, `
[INPUT]
    Name tail
    Path %s
    Tag %s
    DB %s/%[2]s.db
    DB.sync full
    Read_from_Head On
    Refresh_Interval 1
    Rotate_Wait 30
    Buffer_Chunk_Size 256k
    Buffer_Max_Size 8M
    Skip_Long_Lines Off
    storage.type filesystem

[OUTPUT]
    Name es
    Match %[2]s
    Host 127.0.0.1
    Port %[4]d
    Index %[5]s
    Suppress_Type_Name On
    Retry_Limit no_limits
    Buffer_Size False
    net.io_timeout 5s
`, s.path, s.name, p.state, p.port, s.index)
	}
	path := filepath.Join(p.dir, "fluent-bit.conf")
	return exec.Command(bin, "-c", path), os.WriteFile(path, []byte(conf.String()), 0o600)
}

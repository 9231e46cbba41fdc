// SPDX-License-Identifier: Apache-2.0

// Command remora-logger is a logging binary for containerd: the shim starts one process per container, with the container's
// standard output on descriptor 3, its standard error on 4, and on 5 a pipe that the process closes once it is ready. The
// process only moves the output to a spool; the node agent delivers it.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/notice"
)

var version = "devel" // set by the linker

// Exit codes.
const (
	exitFailure = 1
	exitUsage   = 2
)

const usage = `remora-logger captures the output of a containerd container into Remora's spool.

It is not started by hand, but by containerd's shim:

  ctr run --log-uri 'binary:///usr/local/bin/remora-logger' IMAGE ID
  nerdctl run --detach --log-driver 'binary:///usr/local/bin/remora-logger' IMAGE

Parameters of the URI (binary:///usr/local/bin/remora-logger?NAME=VALUE&...):
  spool          directory of the spool, default ` + defaultSpool + `
  when-full      drop-oldest, or block (the container waits)
  block-timeout  longest time that block makes the container wait, default 8s
  target, format, tags and the other log options of Remora's Docker driver: passed on to the node agent

Commands:
  remora-logger --check [DIRECTORY]  report whether the spool can be used
  remora-logger --version            print the version
`

func main() {
	runtime.GOMAXPROCS(1) // there is one process per container: threads add up
	// The shim closes the container's streams and then sends SIGTERM; the end of the streams is enough. A signal from
	// anyone else must not end the container's log.
	signal.Ignore(syscall.SIGTERM, syscall.SIGPIPE, syscall.SIGHUP, syscall.SIGINT)
	if err := run(os.Args[1:]); err != nil {
		usage := errors.Is(err, errUsage)
		code := notice.CodeOf(err)
		switch {
		case code != "":
		case usage:
			code = notice.SettingsWrong.Code
		default:
			code = notice.CommandFailed.Code
		}
		fmt.Fprintf(os.Stderr, "remora-logger: %v (%s)\n", err, code)
		if usage {
			os.Exit(exitUsage)
		}
		os.Exit(exitFailure)
	}
}

var errUsage = errors.New("wrong use")

func run(args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "--version":
			fmt.Println(version)
			return nil
		case "--help", "-h":
			fmt.Print(usage)
			return nil
		case "--check":
			return check(append(args[1:], defaultSpool)[0], os.Stdout)
		case "--hold":
			if len(args) != 3 {
				return fmt.Errorf("%w: --hold needs a spool and the key of a stream", errUsage)
			}
			return hold(args[1], args[2])
		}
	}
	if os.Getenv("CONTAINER_ID") == "" || !isPipe(stdoutFD) || !isPipe(stderrFD) {
		fmt.Fprint(os.Stderr, usage)
		return fmt.Errorf("%w: descriptors 3 and 4 are not a container's streams, or CONTAINER_ID is not set", errUsage)
	}
	return captureContainer(args)
}

// The descriptors that the shim passes (containerd core/runtime/v2/logging).
const (
	stdoutFD = 3
	stderrFD = 4
	readyFD  = 5
)

func isPipe(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFIFO
}

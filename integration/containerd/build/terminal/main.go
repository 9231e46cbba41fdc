// SPDX-License-Identifier: Apache-2.0

// Command terminal starts a container that has a terminal and a logging binary, which ctr can't: it logs to its own console
// where there is one.
//
//	terminal ADDRESS NAMESPACE URI ROOTFS ID PROGRAM [ARGUMENT...]
package main

import (
	"context"
	"fmt"
	"net/url"
	"os"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
)

func main() {
	if len(os.Args) < 7 {
		fmt.Fprintln(os.Stderr, "usage: terminal ADDRESS NAMESPACE URI ROOTFS ID PROGRAM [ARGUMENT...]")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5], os.Args[6:]); err != nil {
		fmt.Fprintln(os.Stderr, "terminal:", err)
		os.Exit(1)
	}
}

func run(address, namespace, uri, rootfs, id string, command []string) error {
	u, err := url.Parse(uri)
	if err != nil {
		return err
	}
	client, err := containerd.New(address)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx := namespaces.WithNamespace(context.Background(), namespace)
	container, err := client.NewContainer(ctx, id, containerd.WithNewSpec(oci.WithRootFSPath(rootfs),
		oci.WithProcessArgs(command...), oci.WithTTY, oci.WithEnv([]string{"aliyun_logs_" + id + "=stdout"})))
	if err != nil {
		return err
	}
	task, err := container.NewTask(ctx, cio.TerminalLogURI(u))
	if err != nil {
		return err
	}
	return task.Start(ctx)
}

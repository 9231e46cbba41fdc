// SPDX-License-Identifier: Apache-2.0

// The pause program is the first container of every Pod: it holds the Pod's namespaces, and sleeps.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	<-end
}

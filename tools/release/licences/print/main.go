// SPDX-License-Identifier: Apache-2.0

// Command print writes the licence texts of all that is linked into the programs of the module in a directory.
package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/remora-logs/remora/tools/release/licences"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: print MODULE-DIRECTORY FILE")
	}
	modules, err := licences.Linked(args[0])
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := licences.Write(&text, modules); err != nil {
		return err
	}
	return os.WriteFile(args[1], text.Bytes(), 0o644)
}

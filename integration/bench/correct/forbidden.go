// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// forbiddenIndex is an index that refuses all writes.
const forbiddenIndex = "forbidden"

// forbidden also writes to a second file, whose lines go to an index that refuses them. They have no number: what counts is
// that the others arrive.
type forbidden struct{}

func (forbidden) name() string { return "a forbidden index beside a good one" }

func (forbidden) play(_ context.Context, d *day) error {
	f, err := os.Create(filepath.Join(d.logs.dir, "evil.log"))
	if err != nil {
		return err
	}
	defer f.Close()
	evil := bufio.NewWriter(f)
	return d.logs.write(rate/4, 6*time.Second, 100*time.Millisecond, func() error {
		for n := range 100 {
			fmt.Fprintln(evil, "nobody wants this line", n) // Flush tells
		}
		return evil.Flush()
	})
}

// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"io"
	"os"

	"github.com/remora-logs/remora/shared/escape"
	"github.com/remora-logs/remora/shared/try"
)

// writeSample writes what each declaration makes of the lines of a file.
func (r *report) writeSample(w io.Writer, path string) error {
	for _, d := range r.Declarations {
		if _, err := fmt.Fprintf(w, "\n%s as %s:\n", escape.Word(path), d.Name); err != nil {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		sum, err := try.Run(d, path, f, w)
		f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", d.Name, err)
		}
		if _, err := io.WriteString(w, sum.String()); err != nil {
			return err
		}
	}
	return nil
}

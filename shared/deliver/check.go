// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/remora-logs/remora/shared/command"
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/escape"
)

// OutputChecker returns the function of explain --check-outputs for a process whose outputs are named by part, an empty struct
// of its settings. The function tries the backend of every output, also of those in the file that LOGGING_OUTPUT does not name,
// and writes the results to w. Its error says how many failed.
func OutputChecker(part interface{ OutputNames() []string }) func(ctx context.Context, w io.Writer, asJSON bool) error {
	return func(ctx context.Context, w io.Writer, asJSON bool) error {
		environ := config.Environ()
		return checkBackends(ctx, w, asJSON, environ, part)
	}
}

func checkBackends(ctx context.Context, w io.Writer, asJSON bool, environ map[string]string, part interface{ OutputNames() []string }) error {
	wrong := config.LoadValid(environ, part) // other wrong settings do not prevent trying the outputs
	outputs, err := catalog(environ)
	if err != nil {
		return err
	}
	names := part.OutputNames()
	if err := config.CheckOutputs(names, outputs.Names()); err != nil {
		return command.WithCode(errors.Join(err, outputs.Unread()), command.ExitUsage)
	}
	names = append(slices.Clone(names), outputs.Unused(names)...)
	failed := 0
	all := outputs.Check(ctx, names)
	for _, c := range all {
		if !c.OK {
			failed++
		}
	}
	if asJSON {
		body, err := json.MarshalIndent(all, "", "  ")
		if err != nil {
			return err
		}
		_, err = w.Write(append(escape.JSON(body), '\n'))
		return errors.Join(err, wrong, failures(failed, len(all)))
	}
	for _, c := range all {
		name := c.Output
		if c.Kind != c.Output {
			name += " (" + c.Kind + ")"
		}
		line := name + ": " + strings.TrimPrefix(c.Error, "output "+c.Output+": ")
		if c.OK {
			line = name + ": ok: " + c.Saw
		}
		if _, err := fmt.Fprintln(w, escape.Text(line)); err != nil {
			return err
		}
	}
	return errors.Join(wrong, failures(failed, len(all)))
}

func failures(n, of int) error {
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d outputs would not deliver", n, of)
}

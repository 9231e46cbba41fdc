// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/escape"
	"github.com/remora-logs/remora/shared/try"
)

// writeSample writes what each declaration makes of the lines of a file.
func (r *report) writeSample(w io.Writer, path string) error {
	for _, d := range r.Declarations {
		if _, err := fmt.Fprintf(w, "\n%s as %s:\n", escape.Word(path), d.Name); err != nil {
			return err
		}
		sum, err := trySample(d, path, w)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(w, sum.String()); err != nil {
			return err
		}
	}
	return nil
}

func trySample(d declare.Declaration, path string, w io.Writer) (try.Summary, error) {
	f, err := os.Open(path)
	if err != nil {
		return try.Summary{}, err
	}
	defer f.Close()
	sum, err := try.Run(d, path, f, w)
	if err != nil {
		return sum, fmt.Errorf("%s: %w", d.Name, err)
	}
	return sum, nil
}

// writeJSONSample writes the report with a member samples: for each declaration its name, its container, the records that it
// makes of the lines of a file, and a summary. Records are written as they are made, however many there are.
func (r *report) writeJSONSample(w io.Writer, path string) error {
	if f, err := os.Open(path); err != nil {
		return err
	} else if err = f.Close(); err != nil {
		return err
	}
	var head bytes.Buffer
	if err := r.writeJSON(&head); err != nil {
		return err
	}
	out := &failing{w: w}
	out.text(string(bytes.TrimSuffix(bytes.TrimSpace(head.Bytes()), []byte("}"))) + `,"samples":[`)
	for i, d := range r.Declarations {
		if i > 0 {
			out.text(",")
		}
		out.json(`{"name":`, d.Name)
		out.json(`,"container":`, d.Container)
		out.text(`,"records":[`)
		sum, err := trySample(d, path, &elements{out: out})
		if err != nil {
			return err
		}
		out.json(`],"summary":`, sum)
		out.text("}")
	}
	out.text("]}\n")
	return out.err
}

// failing writes until a write fails.
type failing struct {
	w   io.Writer
	err error
}

func (f *failing) text(s string) {
	if f.err == nil {
		_, f.err = io.WriteString(f.w, s)
	}
}

func (f *failing) json(before string, v any) {
	text, err := json.Marshal(v)
	if err != nil && f.err == nil {
		f.err = err
	}
	f.text(before + string(escape.JSON(text)))
}

// elements makes elements of a JSON array of lines of JSON.
type elements struct {
	out   *failing
	begun bool
}

// Write implements io.Writer; p holds whole lines.
func (e *elements) Write(p []byte) (int, error) {
	text := string(escape.JSON(bytes.ReplaceAll(bytes.TrimSuffix(p, []byte("\n")), []byte("\n"), []byte(",\n"))))
	if e.begun {
		text = ",\n" + text
	}
	e.begun = true
	e.out.text(text)
	return len(p), e.out.err
}

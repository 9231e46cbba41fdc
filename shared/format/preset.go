// SPDX-License-Identifier: Apache-2.0

package format

import "bytes"

// presets are the rules for stack traces by language, and for indented text. They are written by hand because they run for
// each line.
var presets = map[string]rule{
	"java":   java{},
	"dotnet": dotnet{},
	"ruby":   ruby{},
	"php":    php{},
	"indent": follows(indented),
	"python": python{},
	"go":     golang{},
	"js":     js{},
	"dart":   dart{},
	"rust":   rust{},
}

// follows is a rule for traces whose first line may be anything, but whose other lines have a recognisable form.
type follows func(line []byte) bool

func (f follows) begin([]byte) state { return open }

func (f follows) next(_ state, line []byte) (state, bool) { return open, f(line) }

func indented(line []byte) bool { return len(line) > 0 && (line[0] == ' ' || line[0] == '\t') }

// inner returns line without leading blanks.
func inner(line []byte) []byte { return bytes.TrimLeft(line, " \t") }

func starts(line []byte, prefixes ...string) bool {
	for _, p := range prefixes {
		if len(line) >= len(p) && string(line[:len(p)]) == p {
			return true
		}
	}
	return false
}

// numbered splits a number off the beginning of line.
func numbered(line []byte) (rest []byte, ok bool) {
	n := digits(line, 0)
	return line[n:], n > 0
}

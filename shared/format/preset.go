// SPDX-License-Identifier: Apache-2.0

package format

import "bytes"

// presets are the rules of stack traces by language, and that of indented text. They are written by hand, because each
// line of a log is asked.
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

// follows is a rule for traces whose first line may be anything, but whose others can be told from what they look like.
type follows func(line []byte) bool

func (f follows) begin([]byte) state { return open }

func (f follows) next(_ state, line []byte) (state, bool) { return open, f(line) }

func indented(line []byte) bool { return len(line) > 0 && (line[0] == ' ' || line[0] == '\t') }

// inner is line without the blanks before it.
func inner(line []byte) []byte { return bytes.TrimLeft(line, " \t") }

func starts(line []byte, prefixes ...string) bool {
	for _, p := range prefixes {
		if len(line) >= len(p) && string(line[:len(p)]) == p {
			return true
		}
	}
	return false
}

// numbered takes a number off the beginning of line.
func numbered(line []byte) (rest []byte, ok bool) {
	n := digits(line, 0)
	return line[n:], n > 0
}

// SPDX-License-Identifier: Apache-2.0

package format

import "bytes"

// presets are the rules of stack traces by language, and that of indented text. They are written by hand, because each
// line of a log is asked.
var presets = map[string]rule{
	"java":   follows(javaFollows),
	"dotnet": follows(dotnetFollows),
	"ruby":   ruby{},
	"php":    follows(phpFollows),
	"indent": follows(indented),
	"python": python{},
	"go":     golang{},
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

// javaFollows: frames, causes, suppressed exceptions (whose lines are indented once more), omitted frames, and the cycles
// that Throwable.printStackTrace and logback write.
func javaFollows(line []byte) bool {
	in := inner(line)
	switch {
	case starts(in, "Caused by: ", "Suppressed: ", "Wrapped by: ", "nested exception is:", "[CIRCULAR REFERENCE"):
		return true
	case !indented(line):
		return false
	case starts(in, "... "):
		rest, ok := numbered(in[4:])
		return ok && starts(rest, " more", " common frames", " frames")
	}
	return starts(in, "at ", "eval at ", "- locked ", "- waiting ", "- parking ")
}

// dotnetFollows: frames, inner exceptions, and the lines between them.
func dotnetFollows(line []byte) bool {
	in := inner(line)
	return starts(in, "---> ", "--- End of ") || indented(line) && starts(in, "at ", "in ")
}

// ruby: frames from the innermost (from file:line:in), or to it (2: from file:line:in) with the error behind them, and the
// bare ones that Rails logs.
type ruby struct{}

// rubyOutermost is the state of a trace whose frames have numbers: the error is still to come.
const rubyOutermost = open + 1

func (ruby) begin([]byte) state { return open }

func (ruby) next(s state, line []byte) (state, bool) {
	in := inner(line)
	if rest, ok := numbered(in); ok && indented(line) && starts(rest, ": from ") {
		return rubyOutermost, true
	}
	if s == rubyOutermost && bytes.Contains(line, []byte(":in ")) {
		return open, true
	}
	return open, indented(line) && starts(in, "from ") || isRubyFrame(in)
}

// isRubyFrame: file:line:in `method', or 'method' since Ruby 3.4. The line of the error has its message behind that.
func isRubyFrame(line []byte) bool {
	n := bytes.Index(line, []byte(":in "))
	if n <= 0 || len(line) < n+7 || line[len(line)-1] != '\'' || bytes.IndexByte(line[:n], ' ') >= 0 {
		return false
	}
	method := line[n+4 : len(line)-1]
	return (method[0] == '`' || method[0] == '\'') && bytes.IndexByte(method[1:], '\'') < 0
}

// phpFollows: frames (#0 file(line): call), those that Xdebug and the error log write, and what stands around them.
func phpFollows(line []byte) bool {
	if starts(line, "[") { // [21-Nov-2026 07:41:07 UTC] before each line of the error log
		if n := bytes.Index(line, []byte("] ")); n > 0 {
			return starts(line[n+2:], "PHP Stack trace:") || phpNumbered(line[n+2:])
		}
	}
	if starts(line, "#") {
		rest, ok := numbered(line[1:])
		return ok && starts(rest, " ")
	}
	return starts(line, "Stack trace:", "[stacktrace]", "PHP Stack trace:", "Call Stack:", "Next ", "  thrown in ", `"} `) || phpNumbered(line)
}

// phpNumbered: PHP   1. {main}() /srv/index.php:0
func phpNumbered(line []byte) bool {
	rest, ok := numbered(inner(bytes.TrimPrefix(line, []byte("PHP "))))
	return ok && starts(line, "PHP  ", " ") && starts(rest, ". ")
}

// python: a traceback, its indented frames, the line of the exception, and the tracebacks that it is chained to. What does
// not begin like one stands alone, and is not held back.
type python struct{}

const (
	pyFrames    state = iota + 1 // within the frames: the exception is still to come
	pyGroup                      // within an exception group, all of whose lines are indented
	pyException                  // the exception was there
	pyBlank                      // the blank line behind it, which only a chained traceback follows
	pyChain                      // what it is chained by
	pyChained                    // the blank line behind that
)

func (python) begin(line []byte) state {
	switch in := inner(line); {
	case starts(in, "Traceback (most recent call last):"), indented(line) && starts(in, `File "`):
		return pyFrames
	case starts(in, "+ Exception Group Traceback (most recent call last):"):
		return pyGroup
	}
	return complete
}

func (p python) next(s state, line []byte) (state, bool) {
	empty := len(bytes.TrimSpace(line)) == 0
	switch s {
	case pyFrames:
		if indented(line) || empty {
			return pyFrames, true
		}
		if first := p.begin(line); first != complete {
			return complete, false
		}
		return pyException, true
	case pyGroup:
		return pyGroup, indented(line) && starts(inner(line), "|", "+-")
	case pyException:
		return pyBlank, empty
	case pyBlank:
		return pyChain, starts(line, "During handling of the above exception", "The above exception was the direct cause")
	case pyChain:
		return pyChained, empty
	case pyChained:
		next := p.begin(line)
		return next, next != complete
	}
	return complete, false
}

// golang: a panic or a fatal error, and the goroutines behind it. What does not begin like one stands alone, and is not
// held back.
type golang struct{}

const (
	goPanic      state = iota + 1 // the message: until the first goroutine
	goBlank                       // the blank line behind the message
	goGoroutine                   // within a goroutine
	goGoroutines                  // the blank line between two of them
)

func (golang) begin(line []byte) state {
	switch {
	case starts(line, "panic: ", "fatal error: ", "unexpected fault address ", "runtime: "), starts(line, goSignals...),
		bytes.Contains(line, []byte("http: panic serving ")):
		return goPanic
	case isGoroutine(line):
		return goGoroutine
	}
	return complete
}

// goSignals are how the dumps begin of the signals that the runtime does not leave to the process.
var goSignals = []string{"SIGQUIT: ", "SIGABRT: ", "SIGSEGV: ", "SIGBUS: ", "SIGILL: ", "SIGFPE: ", "SIGTRAP: ", "SIGSYS: "}

func isGoroutine(line []byte) bool {
	if !starts(line, "goroutine ") {
		return false
	}
	rest, ok := numbered(line[len("goroutine "):])
	return ok && starts(rest, " ") && bytes.IndexByte(rest, '[') > 0
}

func (golang) next(s state, line []byte) (state, bool) {
	switch s {
	case goPanic:
		switch {
		case len(line) == 0:
			return goBlank, true
		case isGoroutine(line):
			return goGoroutine, true
		}
		return goPanic, indented(line) || starts(line, "[signal ", "[recovered", "PC=", "fatal error: ", "panic: ", "runtime: ")
	case goBlank, goGoroutines:
		return goGoroutine, isGoroutine(line) || goRegister(line) || starts(line, "runtime stack:", "exit status ")
	case goGoroutine:
		if len(line) == 0 {
			return goGoroutines, true
		}
		return goGoroutine, indented(line) || isGoroutine(line) || goRegister(line) || isCall(line) ||
			starts(line, "created by ", "...", "exit status ", "panic(", "[originating from ")
	}
	return complete, false
}

// isCall: main.(*server).serve(0xc000010000, {0x1, 0x2}), the name of a function with its package and arguments.
func isCall(line []byte) bool {
	open := bytes.IndexByte(line, '(')
	return open > 0 && line[len(line)-1] == ')' && bytes.IndexByte(line[:open], '.') > 0 && bytes.IndexByte(line[:open], ' ') < 0
}

// goRegister: rax    0x0
func goRegister(line []byte) bool {
	n := bytes.IndexByte(line, ' ')
	return n > 1 && n < 7 && starts(inner(line[n:]), "0x") && !bytes.ContainsAny(line[:n], "=:[")
}

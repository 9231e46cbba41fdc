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

// java: what javaFollows knows, and behind "nested exception is:", as JavaMail writes it, the exception.
type java struct{}

const javaNested = open + 1

func (java) begin([]byte) state { return open }

func (java) next(s state, line []byte) (state, bool) {
	if bytes.HasSuffix(bytes.TrimRight(line, " \t"), []byte("nested exception is:")) && (indented(line) || starts(line, "nested ")) {
		return javaNested, true
	}
	return open, javaFollows(line) || s == javaNested && indented(line)
}

// javaFollows: frames, causes, suppressed exceptions (whose lines are indented once more), omitted frames, and the cycles
// that Throwable.printStackTrace and logback write; and Reactor's assembly traces.
func javaFollows(line []byte) bool {
	in := inner(line)
	switch {
	case starts(in, "Caused by: ", "Suppressed: ", "Wrapped by: ", "nested exception is:", "[CIRCULAR REFERENCE",
		"Assembly trace from producer [", "Error has been observed at the following site(s):", "Original Stack Trace:"):
		return true
	case !indented(line):
		return false
	case starts(in, "... "):
		rest, ok := numbered(in[4:])
		return ok && starts(rest, " more", " common frames", " frames")
	}
	return starts(in, "at ", "eval at ", "- locked ", "- waiting ", "- parking ", "|_ ", "*_") || isJavaSite(in)
}

// isJavaSite: reactor.core.publisher.Mono.map(Mono.java:3054)
func isJavaSite(line []byte) bool {
	open := bytes.LastIndexByte(line, '(')
	return open > 0 && line[len(line)-1] == ')' && bytes.IndexByte(line[:open], ' ') < 0 && bytes.Contains(line[open:], []byte(".java:"))
}

// dotnet: frames, inner exceptions, the lines between them, and those of the console logger, which writes a level with a
// category and a number on one line, and the message behind six blanks on the next.
type dotnet struct{}

const dotnetConsole = open + 1

func (dotnet) begin(line []byte) state {
	if starts(line, "trce: ", "dbug: ", "info: ", "warn: ", "fail: ", "crit: ") && line[len(line)-1] == ']' {
		return dotnetConsole
	}
	return open
}

func (dotnet) next(s state, line []byte) (state, bool) {
	if s == dotnetConsole {
		return s, starts(line, "      ")
	}
	in := inner(line)
	return open, starts(in, "---> ", "--- End of ") || indented(line) && starts(in, "at ", "in ")
}

// ruby: frames from the innermost (from file:line:in), or to it (2: from file:line:in) with the error behind them, and the
// bare ones that Rails logs, those of gems among them, behind an error with a blank line and the lines of a view.
type ruby struct{}

const (
	rubyOutermost = open + 1 + iota // the frames have numbers: the error is still to come
	rubyRails                       // Const::Error (message):
)

func (ruby) begin(line []byte) state {
	if line = bytes.TrimRight(line, " "); len(line) > 3 && line[0] >= 'A' && line[0] <= 'Z' && bytes.HasSuffix(line, []byte("):")) &&
		bytes.Contains(line, []byte(" (")) {
		return rubyRails
	}
	return open
}

func (ruby) next(s state, line []byte) (state, bool) {
	in := inner(line)
	rest, ok := numbered(in)
	if ok && indented(line) && starts(rest, ": from ") {
		return rubyOutermost, true
	}
	if s == rubyOutermost && bytes.Contains(line, []byte(":in ")) {
		return open, true
	}
	if s == rubyRails && (len(in) == 0 || ok && indented(line) && starts(rest, ":")) {
		return s, true
	}
	return s, indented(line) && starts(in, "from ") || isRubyFrame(in) || indented(line) && isRubyFrame(gemFrame(in))
}

// gemFrame is what stands behind the name and the version of a gem: actionpack (7.1.0) lib/rails/engine.rb:1:in `call'
func gemFrame(line []byte) []byte {
	open, end := bytes.Index(line, []byte(" (")), bytes.Index(line, []byte(") "))
	if open <= 0 || end < open || bytes.IndexByte(line[:open], ' ') >= 0 {
		return nil
	}
	return line[end+2:]
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

// php: what phpFollows knows, and behind frames the exception that comes next.
type php struct{}

const phpFrames = open + 1

func (php) begin([]byte) state { return open }

func (php) next(s state, line []byte) (state, bool) {
	if s == phpFrames && isNextException(line) {
		return open, true
	}
	if !phpFollows(line) {
		return complete, false
	}
	if starts(line, "#") || phpNumbered(line) {
		s = phpFrames
	}
	return s, true
}

// isNextException: Next RuntimeException: text in /srv/index.php:3
func isNextException(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("Next "))
	n := 0
	for ok && n < len(rest) && (isAlnum(rest[n]) || rest[n] == '_' || rest[n] == '\\') {
		n++
	}
	return n > 0 && starts(rest[n:], ": ", " in ")
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
	return starts(line, "Stack trace:", "[stacktrace]", "PHP Stack trace:", "Call Stack:", "  thrown in ", `"} `) || phpNumbered(line)
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
	goRaceLine                    // ==================
	goRace                        // within the report of a data race, up to another such line
)

const raceLine = "=================="

func (golang) begin(line []byte) state {
	switch {
	case starts(line, "panic: ", "fatal error: ", "unexpected fault address ", "runtime: "), starts(line, goSignals...),
		bytes.Contains(line, []byte("http: panic serving ")):
		return goPanic
	case isGoroutine(line):
		return goGoroutine
	case string(line) == raceLine:
		return goRaceLine
	case starts(line, "WARNING: DATA RACE"):
		return goRace
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
	case goRaceLine:
		return goRace, starts(line, "WARNING: DATA RACE")
	case goRace:
		if string(line) == raceLine {
			return complete, true
		}
		return goRace, len(line) == 0 || indented(line) || starts(line, "Write at ", "Read at ", "Previous ", "Goroutine ", "Location is ", "Mutex ", "Atomic ")
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

// js: frames, what Node prints before an exception that nobody catches (where it was thrown, and the line of the source),
// the properties of an error behind it, in braces, and Node's version.
type js struct{}

const (
	jsSource  state = open + 1 + iota // file:line, the source is to come
	jsCaret                           // the source, the caret is to come
	jsThrown                          // the frames of an error that nobody caught
	jsBlock                           // within braces
	jsVersion                         // the blank line before Node's version
)

func (js) begin(line []byte) state {
	if starts(line, "}") {
		return complete
	}
	n := bytes.LastIndexByte(line, ':')
	if n > 2 && digits(line, n+1) == len(line) && n+1 < len(line) && bytes.IndexByte(line, ' ') < 0 &&
		(starts(line, "/", "file://", "node:", "[eval]") || n > 3 && bytes.HasSuffix(line[:n], []byte(".js"))) {
		return jsSource
	}
	return open
}

func (js) next(s state, line []byte) (state, bool) {
	if s == jsBlock {
		if starts(line, "}") {
			return complete, true
		}
		return s, indented(line) || len(line) == 0
	}
	if indented(line) && starts(inner(line), "at ", "[cause]: ", "[errors]: ", "... ") {
		if bytes.HasSuffix(line, []byte(" {")) {
			return jsBlock, true
		}
		if s == jsSource || s == jsCaret {
			s = jsThrown
		}
		return s, true
	}
	switch s {
	case jsSource:
		return jsCaret, true
	case jsCaret: // and the blank line behind it
		if len(bytes.Trim(line, " \t^~")) == 0 {
			return s, true
		}
		return jsThrown, true
	case jsThrown:
		return jsVersion, len(line) == 0
	case jsVersion:
		return complete, starts(line, "Node.js v")
	}
	return complete, false
}

// dart: frames (#0 main (file:///x.dart:3:3)), pauses between them, and the exception behind "Unhandled exception:".
type dart struct{}

const dartUnhandled = open + 1

func (dart) begin(line []byte) state {
	if starts(line, "Unhandled exception:") {
		return dartUnhandled
	}
	return open
}

func (dart) next(s state, line []byte) (state, bool) {
	if starts(line, "#") {
		rest, ok := numbered(line[1:])
		return open, ok && starts(rest, " ")
	}
	return open, s == dartUnhandled || starts(line, "<asynchronous suspension>", "<asynchronous gap>")
}

// rust: a panic with its message, the chain of an error that main returned, and backtraces behind either.
type rust struct{}

const (
	rustMessage state = iota + 2 // of a panic: the message is to come
	rustPanic                    // notes and backtraces may follow
	rustError                    // Error: text, causes and backtraces may follow
)

func (rust) begin(line []byte) state {
	switch {
	case starts(line, "thread '") && bytes.Contains(line, []byte("panicked at ")):
		if line[len(line)-1] == ':' {
			return rustMessage
		}
		return rustPanic
	case starts(line, "Error: "):
		return rustError
	}
	return complete
}

func (rust) next(s state, line []byte) (state, bool) {
	switch {
	case s == rustMessage:
		return rustPanic, true
	case starts(line, "stack backtrace:", "Stack backtrace:", "note: run with `", "note: Some details are omitted", "Caused by:"):
		return s, true
	}
	return s, indented(line) || s == rustError && len(line) == 0
}

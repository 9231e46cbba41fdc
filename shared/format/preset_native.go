// SPDX-License-Identifier: Apache-2.0

package format

import "bytes"

// golang is the rule for a panic or a fatal error and the goroutines after it. A line that does not begin like one stands
// alone, and is not held back.
type golang struct{}

const (
	goPanic      state = iota + 1 // the message, up to the first goroutine
	goBlank                       // the blank line after the message
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

// goSignals are the beginnings of the dumps for signals that the runtime does not leave to the process.
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

// isCall reports whether line is the name of a function with its package and arguments: main.(*server).serve(0xc000010000,
// {0x1, 0x2}).
func isCall(line []byte) bool {
	open := bytes.IndexByte(line, '(')
	return open > 0 && line[len(line)-1] == ')' && bytes.IndexByte(line[:open], '.') > 0 && bytes.IndexByte(line[:open], ' ') < 0
}

// goRegister reports whether line is of the form "rax    0x0".
func goRegister(line []byte) bool {
	n := bytes.IndexByte(line, ' ')
	return n > 1 && n < 7 && starts(inner(line[n:]), "0x") && !bytes.ContainsAny(line[:n], "=:[")
}

// dart is the rule for frames (#0 main (file:///x.dart:3:3)), pauses between them, and the exception after "Unhandled
// exception:".
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

// rust is the rule for a panic with its message, the chain of an error that main returned, and backtraces after either.
type rust struct{}

const (
	rustMessage state = iota + 2 // a panic whose message follows
	rustPanic                    // notes and backtraces may follow
	rustError                    // Error: text, causes and backtraces may follow
	rustChain                    // causes or backtraces have followed
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
		if s == rustError {
			s = rustChain
		}
		return s, true
	case s == rustError && starts(inner(line), "at "): // JavaScript also writes Error: text, followed by its frames
		return complete, false
	}
	return s, indented(line) || s >= rustError && len(line) == 0
}

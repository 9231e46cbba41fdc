// SPDX-License-Identifier: Apache-2.0

package format

import "bytes"

// java is the rule for lines that javaFollows accepts and, after JavaMail's "nested exception is:", for the exception.
type java struct{}

const javaNested = open + 1

func (java) begin([]byte) state { return open }

func (java) next(s state, line []byte) (state, bool) {
	if bytes.HasSuffix(bytes.TrimRight(line, " \t"), []byte("nested exception is:")) && (indented(line) || starts(line, "nested ")) {
		return javaNested, true
	}
	return open, javaFollows(line) || s == javaNested && indented(line)
}

// javaFollows reports whether line is a frame, a cause, a suppressed exception (whose lines are indented once more), a line about
// omitted frames or about a cycle, as Throwable.printStackTrace and logback write it, or part of Reactor's assembly traces.
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

// isJavaSite reports whether line is of the form reactor.core.publisher.Mono.map(Mono.java:3054).
func isJavaSite(line []byte) bool {
	open := bytes.LastIndexByte(line, '(')
	return open > 0 && line[len(line)-1] == ')' && bytes.IndexByte(line[:open], ' ') < 0 && bytes.Contains(line[open:], []byte(".java:"))
}

// dotnet is the rule for frames, inner exceptions, the lines between them, and records of the console logger, which writes a
// level with a category and a number on one line, and the message after six blanks on the next.
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

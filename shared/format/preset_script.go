// SPDX-License-Identifier: Apache-2.0

package format

import "bytes"

// ruby is the rule for frames from the innermost (from file:line:in) or to it (2: from file:line:in) with the error after
// them, and for the bare frames, also of gems, that Rails logs after an error, a blank line and the lines of a view.
type ruby struct{}

const (
	rubyOutermost = open + 1 + iota // the frames have numbers, so the error follows them
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
	return s, indented(line) && starts(in, "from ") || isRubyFrame(in) || isRubyFrame(gemFrame(in))
}

// gemFrame returns what follows the name and the version of a gem: actionpack (7.1.0) lib/rails/engine.rb:1:in `call'
func gemFrame(line []byte) []byte {
	open, end := bytes.Index(line, []byte(" (")), bytes.Index(line, []byte(") "))
	if open <= 0 || end < open || bytes.IndexByte(line[:open], ' ') >= 0 {
		return nil
	}
	return line[end+2:]
}

// isRubyFrame reports whether line is file:line:in `method', or 'method' since Ruby 3.4. In the line of an error the message
// follows.
func isRubyFrame(line []byte) bool {
	n := bytes.Index(line, []byte(":in "))
	if n <= 0 || len(line) < n+7 || line[len(line)-1] != '\'' || bytes.IndexByte(line[:n], ' ') >= 0 {
		return false
	}
	method := line[n+4 : len(line)-1]
	return (method[0] == '`' || method[0] == '\'') && bytes.IndexByte(method[1:], '\'') < 0
}

// php is the rule for lines that phpFollows accepts and, after frames, for the next exception.
type php struct{}

const (
	phpFrames = open + 1 + iota
	phpBlank  // the blank line after them, which only the next exception follows
)

func (php) begin([]byte) state { return open }

func (php) next(s state, line []byte) (state, bool) {
	switch {
	case s == phpFrames && len(line) == 0:
		return phpBlank, true
	case s >= phpFrames && isNextException(line):
		return open, true
	case s == phpBlank:
		return complete, false
	}
	if !phpFollows(line) {
		return complete, false
	}
	if starts(line, "#") || phpNumbered(line) {
		s = phpFrames
	}
	return s, true
}

// isNextException reports whether line is of the form "Next RuntimeException: text in /srv/index.php:3".
func isNextException(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("Next "))
	n := 0
	for ok && n < len(rest) && (isAlnum(rest[n]) || rest[n] == '_' || rest[n] == '\\') {
		n++
	}
	return n > 0 && starts(rest[n:], ": ", " in ")
}

// phpFollows reports whether line is a frame (#0 file(line): call), also of Xdebug or the error log, or one of the lines
// around frames.
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

// phpNumbered reports whether line is of the form "PHP   1. {main}() /srv/index.php:0".
func phpNumbered(line []byte) bool {
	rest, ok := numbered(inner(bytes.TrimPrefix(line, []byte("PHP "))))
	return ok && starts(line, "PHP  ", " ") && starts(rest, ". ")
}

// python is the rule for a traceback, its indented frames, the line of the exception, and chained tracebacks. A line that does
// not begin like one stands alone, and is not held back.
type python struct{}

const (
	pyFrames    state = iota + 1 // within the frames, which the exception follows
	pyGroup                      // within an exception group, all of whose lines are indented
	pyException                  // the line of the exception
	pyBlank                      // the blank line after it, which only a chained traceback follows
	pyChain                      // the sentence that announces a chained traceback
	pyChained                    // the blank line after that
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

// js is the rule for frames, for what Node prints before an uncaught exception (where it was thrown, and the source line), for
// the properties of an error, in braces after it, and for Node's version.
type js struct{}

const (
	jsSource  state = open + 1 + iota // file:line, followed by the source
	jsCaret                           // the source, followed by the caret
	jsThrown                          // the frames of an uncaught error
	jsBlock                           // within braces
	jsLast                            // within the braces of an uncaught error
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
	if s == jsBlock || s == jsLast {
		switch {
		case !starts(line, "}"):
			return s, indented(line) || len(line) == 0
		case s == jsLast:
			return jsThrown, true
		}
		return complete, true
	}
	if indented(line) && starts(inner(line), "at ", "[cause]: ", "[errors]: ", "... ") {
		if s == jsSource || s == jsCaret {
			s = jsThrown
		}
		switch braces := bytes.HasSuffix(line, []byte(" {")); {
		case braces && s == jsThrown:
			s = jsLast
		case braces:
			s = jsBlock
		}
		return s, true
	}
	switch s {
	case jsSource:
		return jsCaret, true
	case jsCaret: // and the blank line after it
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

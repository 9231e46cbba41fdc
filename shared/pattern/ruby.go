// SPDX-License-Identifier: Apache-2.0

package pattern

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"
)

// CompileRuby is Compile for an expression that was written for Ruby, as those of log-pilot's users were for fluentd:
// ^ and $ match at lines, (?m) lets a dot match newlines, \h is a hexadecimal digit, and the whole may be in slashes with
// i, m and x behind them. dotAll lets dots match newlines without being asked. (?P<name>…) and (?s) are understood as well.
//
// What can't be had with the meaning that it has in Ruby is refused, and never taken for something else.
func CompileRuby(expr string, dotAll bool) (*Pattern, error) {
	if len(expr) > MaxExpr {
		return nil, fmt.Errorf("the expression is %d bytes long, at most %d are allowed", len(expr), MaxExpr)
	}
	r := ruby{}
	expr, flags := slashes(expr)
	r.extended = strings.Contains(flags, "x")
	prefix := ""
	if dotAll || strings.Contains(flags, "m") {
		prefix = "(?s)"
	}
	if strings.Contains(flags, "i") {
		prefix += "(?i)"
	}
	if err := r.translate(expr); err != nil {
		return nil, err
	}
	single, err := compileEither(prefix + r.out.String())
	if err != nil || !r.anchors {
		return single, err
	}
	p := *single
	p.engine = &byLines{single.engine, sync.OnceValues(func() (*Pattern, error) {
		return compileEither("(?m)" + prefix + r.out.String())
	})}
	return &p, nil
}

// byLines runs an expression with ^ or $ in it. In a line that holds no newline they match at its ends alone, which the
// engines find faster than the ends of lines.
type byLines struct {
	engine
	lines func() (*Pattern, error)
}

func (b *byLines) of(line []byte) (engine, error) {
	if bytes.IndexByte(line, '\n') < 0 {
		return b.engine, nil
	}
	p, err := b.lines()
	if err != nil {
		return nil, err
	}
	return p.engine, nil
}

func (b *byLines) match(line []byte) (bool, time.Duration, error) {
	e, err := b.of(line)
	if err != nil {
		return false, 0, err
	}
	return e.match(line)
}

func (b *byLines) find(dst []int, line []byte) ([]int, time.Duration, error) {
	e, err := b.of(line)
	if err != nil {
		return nil, 0, err
	}
	return e.find(dst, line)
}

func (b *byLines) each(line []byte, begin func(), yield func(loc []int) bool) (time.Duration, error) {
	e, err := b.of(line)
	if err != nil {
		return 0, err
	}
	return e.each(line, begin, yield)
}

// slashes takes the slashes and the flags behind them off a pattern that is written like one of Ruby's literals.
func slashes(expr string) (inside, flags string) {
	if len(expr) < 2 || expr[0] != '/' {
		return expr, ""
	}
	end := strings.LastIndexByte(expr, '/')
	if end == 0 || strings.Trim(expr[end+1:], "imx") != "" || expr[end-1] == '\\' {
		return expr, ""
	}
	return expr[1:end], expr[end+1:]
}

// ruby is a translation under way.
type ruby struct {
	in       string
	at       int
	out      strings.Builder
	extended bool   // blanks and comments say nothing
	groups   []bool // of the open groups, what extended was outside
	anchors  bool   // ^ or $ occurs
	atom     bool   // something precedes that can be repeated
	fixed    bool   // a count like {3}, behind which a question mark means something else
}

func (r *ruby) translate(expr string) error {
	r.in = expr
	for r.at < len(expr) {
		c := expr[r.at]
		fixed := r.fixed
		r.fixed = false
		var err error
		switch {
		case c == '\\':
			err = r.escape(false)
			r.atom = true
		case c == '[':
			err = r.set()
			r.atom = true
		case c == '(':
			err = r.open()
		case c == ')':
			if n := len(r.groups); n > 0 {
				r.extended, r.groups = r.groups[n-1], r.groups[:n-1]
			}
			r.copy(1)
			r.atom = true
		case c == '{':
			r.count()
		case c == '?' && fixed:
			return errors.New("a count with a question mark behind it is not supported: put the group before it into another")
		case r.extended && strings.IndexByte(" \t\n\r\f\v", c) >= 0:
			r.at++
		case r.extended && c == '#':
			if n := strings.IndexByte(expr[r.at:], '\n'); n >= 0 {
				r.at += n + 1
			} else {
				r.at = len(expr)
			}
		default:
			r.atom = c != '|' && c != '^'
			r.anchors = r.anchors || c == '^' || c == '$'
			r.copy(1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// copy takes over the next n bytes.
func (r *ruby) copy(n int) {
	r.out.WriteString(r.in[r.at : r.at+n])
	r.at += n
}

// replace takes over text for the next n bytes.
func (r *ruby) replace(n int, text string) {
	r.out.WriteString(text)
	r.at += n
}

// unsupported are escapes that neither engine has with Ruby's meaning.
var unsupported = map[byte]string{
	'g': `\g (a call of a group)`, 'G': `\G`, 'K': `\K`, 'R': `\R`, 'X': `\X`, 'Q': `\Q (which Ruby does not have)`, 'E': `\E`,
	'c': `\c`, 'C': `\C`, 'M': `\M`, 'y': `\y`, 'Y': `\Y`, 'N': `\N`, 'O': `\O`,
}

// escape reads an escape, inside of a set or not.
func (r *ruby) escape(inside bool) error {
	if r.at+1 == len(r.in) {
		return errors.New("it ends with a backslash")
	}
	c := r.in[r.at+1]
	if what, ok := unsupported[c]; ok {
		return fmt.Errorf("%s is not supported", what)
	}
	wrap := func(negated, set string) error {
		switch {
		case !inside:
			r.replace(2, "["+negated+set+"]")
		case negated != "":
			return fmt.Errorf(`\%c within a set is not supported`, c)
		default:
			r.replace(2, set)
		}
		return nil
	}
	switch c {
	case 'h':
		return wrap("", "0-9a-fA-F")
	case 'H':
		return wrap("^", "0-9a-fA-F")
	case 's':
		return wrap("", `\t-\r\x20`)
	case 'S':
		if inside { // but for a vertical tab the same
			r.copy(2)
			return nil
		}
		return wrap("^", `\t-\r\x20`)
	case 'e':
		r.replace(2, `\x1b`)
	case 'b':
		if inside {
			r.replace(2, `\x08`)
			return nil
		}
		r.copy(2)
	case 'u':
		return r.unicode()
	case 'p', 'P':
		return r.property()
	default:
		r.copy(2)
	}
	return nil
}

// property reads \p{Name}, \p{^Name} and \P{Name}: the categories and scripts that Go knows by the same names.
func (r *ruby) property() error {
	rest := r.in[r.at+2:]
	end := strings.IndexByte(rest, '}')
	if !strings.HasPrefix(rest, "{") || end < 2 {
		return errors.New(`\p is not supported without a name in braces`)
	}
	name, escape := rest[1:end], r.in[r.at:r.at+2]
	if positive, ok := strings.CutPrefix(name, "^"); ok {
		name = positive
		if escape == `\p` {
			escape = `\P`
		} else {
			escape = `\p`
		}
	}
	if unicode.Categories[name] == nil && unicode.Scripts[name] == nil {
		return errors.New(`\p is supported with categories such as Lu and scripts such as Han alone: write [[:alpha:]] for \p{Alpha}`)
	}
	r.replace(2+end+1, escape+"{"+name+"}")
	return nil
}

// unicode reads \uHHHH and \u{HHHH}.
func (r *ruby) unicode() error {
	rest := r.in[r.at+2:]
	if strings.HasPrefix(rest, "{") {
		if end := strings.IndexByte(rest, '}'); end > 1 && isHexText(rest[1:end]) {
			r.replace(2+end+1, `\x{`+rest[1:end]+`}`)
			return nil
		}
	} else if len(rest) >= 4 && isHexText(rest[:4]) {
		r.replace(6, `\x{`+rest[:4]+`}`)
		return nil
	}
	return errors.New(`\u needs four hexadecimal digits, or some in braces`)
}

func isHexText(s string) bool {
	return strings.Trim(s, "0123456789abcdefABCDEF") == "" && s != "" && len(s) < 7
}

// posix are the sets that Ruby takes for all of Unicode.
var posix = map[string]string{
	"[:alpha:]": `\p{L}\p{M}`, "[:alnum:]": `\p{L}\p{M}\p{Nd}`, "[:digit:]": `\p{Nd}`, "[:upper:]": `\p{Lu}`, "[:lower:]": `\p{Ll}`,
	"[:space:]": `\t-\r\x20\x{85}\p{Z}`, "[:blank:]": `\t\p{Zs}`, "[:word:]": `\p{L}\p{M}\p{N}\p{Pc}`, "[:xdigit:]": "0-9a-fA-F",
	"[:punct:]": `\p{P}$+<=>^` + "`" + `|~`, "[:cntrl:]": `\p{Cc}`,
}

// set reads a set of characters.
func (r *ruby) set() error {
	r.copy(1)
	if strings.HasPrefix(r.in[r.at:], "^") {
		r.copy(1)
	}
	if strings.HasPrefix(r.in[r.at:], "]") {
		r.replace(1, `\]`)
	}
	for r.at < len(r.in) {
		rest := r.in[r.at:]
		switch {
		case rest[0] == ']':
			r.copy(1)
			return nil
		case rest[0] == '\\':
			if err := r.escape(true); err != nil {
				return err
			}
		case strings.HasPrefix(rest, "&&"):
			return errors.New("&& (the intersection of sets) is not supported")
		case strings.HasPrefix(rest, "[:"):
			end := strings.Index(rest, ":]")
			if end < 0 {
				return errors.New("a set within a set is not supported: write \\[ for a bracket")
			}
			set, ok := posix[rest[:end+2]]
			if !ok {
				return fmt.Errorf("the set %q is not supported", rest[:end+2])
			}
			r.replace(end+2, set)
		case rest[0] == '[':
			return errors.New("a set within a set is not supported: write \\[ for a bracket")
		default:
			r.copy(1)
		}
	}
	return errors.New("missing closing ]")
}

// open reads the beginning of a group.
func (r *ruby) open() error {
	r.atom = false
	rest := r.in[r.at:]
	if strings.HasPrefix(rest, "(?#") {
		end := strings.IndexByte(rest, ')')
		if end < 0 {
			return errors.New("missing closing )")
		}
		r.at += end + 1
		return nil
	}
	outside := r.extended
	switch {
	case strings.HasPrefix(rest, "(?~"):
		return errors.New("(?~ (the absence of something) is not supported")
	case strings.HasPrefix(rest, "(?<=") || strings.HasPrefix(rest, "(?<!"):
		r.copy(4)
	case strings.HasPrefix(rest, "(?<"), strings.HasPrefix(rest, "(?P<"), strings.HasPrefix(rest, "(?'"):
		if err := r.name(); err != nil {
			return err
		}
	case strings.HasPrefix(rest, "(?"):
		return r.flags(outside)
	default:
		r.copy(1)
	}
	r.groups = append(r.groups, outside)
	return nil
}

// name reads (?<name>, (?P<name> or (?'name'.
func (r *ruby) name() error {
	begin := strings.IndexAny(r.in[r.at:], "<'")
	closing := ">"
	if r.in[r.at+begin] == '\'' {
		closing = "'"
	}
	name, _, ok := strings.Cut(r.in[r.at+begin+1:], closing)
	if !ok {
		return errors.New("the name of a group does not end")
	}
	for i := range len(name) {
		if !isWord(name[i]) {
			return fmt.Errorf("the group's name %q holds something else than letters, digits and _, which are the limit here", name)
		}
	}
	r.replace(begin+1+len(name)+1, "(?P<"+name+">")
	return nil
}

// flags reads (?imx-imx) and (?imx-imx:…, and other groups that begin with a question mark.
func (r *ruby) flags(outside bool) error {
	rest := r.in[r.at+2:]
	n := 0
	for n < len(rest) && strings.IndexByte("imxs-", rest[n]) >= 0 {
		n++
	}
	if n == 0 || n == len(rest) || rest[n] != ':' && rest[n] != ')' {
		r.copy(2) // (?:, (?=, (?!, (?>: as they are, and what is none of these is refused by the engines
		if len(rest) > 0 && strings.IndexByte(":=!>", rest[0]) >= 0 {
			r.copy(1)
		}
		r.groups = append(r.groups, outside)
		return nil
	}
	on, off, _ := strings.Cut(rest[:n], "-")
	switch {
	case strings.Contains(on, "x"):
		r.extended = true
	case strings.Contains(off, "x"):
		r.extended = false
	}
	keep := func(s string) string { // m is Ruby's name for s
		return strings.NewReplacer("x", "", "m", "s").Replace(s)
	}
	on, off = keep(on), keep(off)
	if off != "" {
		on += "-" + off
	}
	end := rest[n]
	if r.at += 2 + n + 1; end == ':' {
		r.out.WriteString("(?" + on + ":")
		r.groups = append(r.groups, outside)
		return nil
	}
	if on != "" {
		r.out.WriteString("(?" + on + ")")
	}
	return nil
}

// count reads {n}, {n,m}, {n,} and {,m}; any other brace is one.
func (r *ruby) count() {
	end := strings.IndexByte(r.in[r.at:], '}')
	if end < 0 || !r.atom {
		r.replace(1, `\{`)
		return
	}
	from, to, comma := strings.Cut(r.in[r.at+1:r.at+end], ",")
	switch {
	case !isDigits(from) || !isDigits(to) || from == "" && to == "":
		r.replace(1, `\{`)
		return
	case from == "":
		r.replace(end+1, "{0,"+to+"}")
	default:
		r.copy(end + 1)
	}
	r.fixed = !comma
}

func isDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

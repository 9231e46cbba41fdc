// SPDX-License-Identifier: Apache-2.0

// Package logformat reads how a server was told to write its access log: nginx's log_format and Apache's LogFormat.
package logformat

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/remora-logs/remora/shared/timefmt"
)

// Format is what the lines of a log look like: Begin, and then one column after the other.
type Format struct {
	Begin   string
	Columns []Column
}

// Column is a variable, and the text that follows it.
type Column struct {
	Kind    Kind
	Field   string // by nginx's name for it; empty for Time and Request
	Layout  string // of a Time, as timefmt knows it
	Literal string // what follows, up to the next column or the end
	List    bool   // elements may be separated by a comma or colon and a blank
	Quoted  bool   // it is in quotes, in which the server escapes
}

// Kind is how a column is read.
type Kind uint8

// The kinds of columns.
const (
	Text    Kind = iota
	Number       // where it is one, or a list of them
	Time         // the record's
	Request      // the line of the request: method, path and protocol
)

// maxColumns bounds the columns of a format.
const maxColumns = 128

// Compile reads the format of a server, nginx or apache2: the string itself, or the directive that has it. Times
// without a zone of their own are at home in zone. An error says what can't be read, and why.
func Compile(server, text, zone string) (*Format, error) {
	text, err := formatString(text)
	if err != nil {
		return nil, err
	}
	column := nginxColumn
	if server == "apache2" {
		column = apacheColumn
	}
	f := &Format{}
	last := &f.Begin
	for len(text) > 0 {
		c, width, err := column(text)
		switch {
		case err != nil:
			return nil, err
		case width == 0: // text
			if server == "apache2" {
				text = strings.TrimPrefix(text, "%") // of %%
			}
			*last += text[:1]
			text = text[1:]
			continue
		case len(f.Columns) > 0 && *last == "":
			return nil, fmt.Errorf("no text separates two columns before %q, so it can't be told where one ends", text[:width])
		case len(f.Columns) == maxColumns:
			return nil, fmt.Errorf("it has more than %d columns", maxColumns)
		}
		if c.Kind == Time {
			if _, err := timefmt.New(c.Layout, zone); err != nil {
				return nil, fmt.Errorf("%q: %w", text[:width], err)
			}
		}
		f.Columns = append(f.Columns, c)
		last = &f.Columns[len(f.Columns)-1].Literal
		text = text[width:]
	}
	if len(f.Columns) == 0 {
		return nil, errors.New("it has no columns")
	}
	f.settle()
	return f, nil
}

// settle says which columns are in quotes, and gives a second column of one field a name of its own.
func (f *Format) settle() {
	used := make(map[string]bool)
	before := f.Begin
	for i := range f.Columns {
		c := &f.Columns[i]
		c.Quoted = strings.HasSuffix(before, `"`) && strings.HasPrefix(c.Literal, `"`)
		before = c.Literal
		if c.Kind == Request {
			for _, field := range []string{"request", "method", "path", "protocol"} {
				used[field] = true
			}
		}
	}
	for i := range f.Columns {
		c := &f.Columns[i]
		for name, n := c.Field, 2; c.Field != "" && used[c.Field]; n++ {
			c.Field = name + "_" + strconv.Itoa(n)
		}
		used[c.Field] = true
	}
}

func isWord(c byte) bool { return c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' }

// formatString returns what the server makes of a directive: the strings of log_format NAME '…' '…'; put together, that of
// LogFormat "…" NAME with its escapes undone. Anything else is the format itself, in which \" is a quote.
func formatString(text string) (string, error) {
	text = strings.TrimSpace(text)
	directive := false
	for _, word := range []string{"log_format", "LogFormat"} {
		if rest, ok := strings.CutPrefix(text, word); ok && rest != "" && strings.ContainsAny(rest[:1], " \t\n") {
			text, directive = strings.TrimSpace(rest), true
		}
	}
	if !directive && !(len(text) > 1 && (text[0] == '"' || text[0] == '\'') && text[len(text)-1] == text[0] && !strings.Contains(text[1:len(text)-1], text[:1])) {
		return strings.ReplaceAll(text, `\"`, `"`), nil
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		quote := text[i]
		if quote != '"' && quote != '\'' {
			continue // the directive's name, escape=…, blanks and the semicolon
		}
		for i++; i < len(text) && text[i] != quote; i++ {
			if text[i] == '\\' && i+1 < len(text) && (text[i+1] == quote || text[i+1] == '\\') {
				i++
			}
			b.WriteByte(text[i])
		}
		if i >= len(text) {
			return "", errors.New("a quote is not closed")
		}
	}
	if b.Len() == 0 {
		return "", errors.New("it has no format in quotes")
	}
	return b.String(), nil
}

// nginxNumbers are nginx's variables that hold numbers, beside those whose names end like times and lengths.
var nginxNumbers = []string{
	"status", "body_bytes_sent", "bytes_sent", "request_length", "request_time", "connection", "connection_requests", "connection_time",
	"content_length", "gzip_ratio", "pid", "remote_port", "server_port", "proxy_port", "upstream_status", "upstream_response_length",
	"upstream_bytes_sent", "upstream_bytes_received", "upstream_response_time", "upstream_connect_time", "upstream_header_time",
	"upstream_queue_time", "session_time", "bytes_received", "protocol_status",
}

// nginxColumn reads the variable at the beginning of text: $name or ${name}.
func nginxColumn(text string) (c Column, width int, err error) {
	if text[0] != '$' || len(text) == 1 {
		return c, 0, nil
	}
	begin := 1
	if text[1] == '{' {
		begin = 2
	}
	end := begin
	for end < len(text) && (isWord(text[end])) {
		end++
	}
	if width = end; begin == 2 {
		if end == len(text) || text[end] != '}' {
			return c, 0, fmt.Errorf("%q is not a variable", text[:min(len(text), 32)])
		}
		width++
	}
	switch key := text[begin:end]; key {
	case "":
		return c, 0, nil
	case "time_local":
		c.Kind, c.Layout = Time, "%d/%b/%Y:%H:%M:%S %z"
	case "time_iso8601":
		c.Kind, c.Layout = Time, "rfc3339"
	case "msec":
		c.Kind, c.Layout = Time, "unix"
	case "request":
		c.Kind = Request
	case "host":
		c.Field = "vhost"
	default:
		if c.Field = key; slices.Contains(nginxNumbers, key) {
			c.Kind = Number
		}
		c.List = strings.HasPrefix(key, "upstream_") || key == "http_x_forwarded_for" || key == "proxy_add_x_forwarded_for"
	}
	return c, width, err
}

// apacheColumns are the fields of Apache's directives (mod_log_config), and whether they hold numbers.
var apacheColumns = map[byte]struct {
	field  string
	number bool
}{
	'a': {"remote_addr", false}, 'A': {"server_addr", false}, 'B': {"body_bytes_sent", true}, 'b': {"body_bytes_sent", true},
	'D': {"request_time_us", true}, 'f': {"request_filename", false}, 'h': {"remote_addr", false}, 'H': {"protocol", false},
	'I': {"bytes_received", true}, 'k': {"connection_requests", true}, 'l': {"remote_ident", false}, 'L': {"log_id", false},
	'm': {"method", false}, 'O': {"bytes_sent", true}, 'p': {"server_port", true}, 'P': {"pid", true}, 'q': {"query", false},
	'R': {"handler", false}, 's': {"status", true}, 'S': {"bytes_transferred", true}, 'T': {"request_time", true}, 'u': {"remote_user", false},
	'U': {"path", false}, 'v': {"vhost", false}, 'V': {"vhost", false}, 'X': {"connection_status", false},
}

// apacheNamed are the prefixes of the fields of %{NAME}x, by x.
var apacheNamed = map[byte]string{'C': "cookie_", 'e': "env_", 'i': "http_", 'n': "note_", 'o': "sent_http_", 'x': ""}

// apacheColumn reads the directive at the beginning of text: %h, %>s, %{Referer}i, %!200,304{Referer}i.
func apacheColumn(text string) (c Column, width int, err error) {
	if text[0] != '%' || len(text) == 1 || text[1] == '%' {
		return c, 0, nil
	}
	i := 1
	for i < len(text) && (text[i] >= '0' && text[i] <= '9' || strings.IndexByte("!,<>", text[i]) >= 0) {
		i++
	}
	argument := ""
	if i < len(text) && text[i] == '{' {
		end := strings.IndexByte(text[i:], '}')
		if end < 0 {
			return c, 0, fmt.Errorf("%q has no end", text[:min(len(text), 32)])
		}
		argument = text[i+1 : i+end]
		i += end + 1
	}
	if i == len(text) {
		return c, 0, fmt.Errorf("%q is no directive", text)
	}
	width = i + 1
	letter := text[i]
	known, ok := apacheColumns[letter]
	prefix, named := apacheNamed[letter]
	switch {
	case letter == 't':
		c.Kind, c.Layout = Time, apacheLayout(argument)
	case letter == 'r':
		c.Kind = Request
	case letter == 'T' && argument != "" && argument != "s":
		unit, ok := map[string]string{"ms": "request_time_ms", "us": "request_time_us"}[argument]
		if !ok {
			return c, 0, fmt.Errorf("%q is in no known unit", text[:width])
		}
		c.Kind, c.Field = Number, unit
	case named && argument != "":
		c.Field = prefix + strings.ReplaceAll(strings.ToLower(argument), "-", "_")
		c.List = strings.EqualFold(argument, "X-Forwarded-For")
	case letter == 'p' && argument == "remote":
		c.Kind, c.Field = Number, "remote_port"
	case letter == 'P' && argument == "tid":
		c.Kind, c.Field = Number, "tid"
	case ok:
		if c.Field = known.field; known.number {
			c.Kind = Number
		}
	default:
		return c, 0, fmt.Errorf("the directive %q is unknown", text[:width])
	}
	return c, width, err
}

// apacheLayout returns the layout of %t, %{sec}t, %{msec}t, %{usec}t, or of a time that is written with strftime.
func apacheLayout(argument string) string {
	for _, when := range []string{"begin:", "end:"} {
		argument = strings.TrimPrefix(argument, when)
	}
	switch argument {
	case "", "begin", "end":
		return "[%d/%b/%Y:%H:%M:%S %z]"
	case "sec":
		return "unix"
	case "msec":
		return "unix_ms"
	case "usec":
		return "unix_us"
	}
	return argument
}

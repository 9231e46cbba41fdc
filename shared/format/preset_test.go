// SPDX-License-Identifier: Apache-2.0

package format

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/remora-logs/remora/shared/declare"
)

// Groups are divided by empty lines in these texts; a line that is empty itself is written as a tilde.
var traces = map[string][]string{
	"java": {`
Exception in thread "main" com.example.Failure
	at com.example.A.b(A.java:1)

line

org.example.Wrapper: x
nested exception is:

x
	nested exception is: y
	... 3 frames truncated

	... more
	[CIRCULAR REFERENCE: java.lang.Exception: x]

"main" #1 prio=5
	- locked <0x00> (a java.lang.Object)`},
	"ruby": {`
app.rb:7:in 'Integer#/': divided by 0 (ZeroDivisionError)
	from app.rb:7:in 'Object#a'

RuntimeError (boom):
app/controllers/x.rb:5:in 'XController#y'
lib/z.rb:7:in ` + "`block in z'" + `

said: 'x':in 'y'`},
	"php": {`
[2026-11-21 07:41:07] production.ERROR: boom {"exception":"[object] (RuntimeException(code: 0)
[stacktrace]
#0 /srv/a.php(3): f()
#1 {main}
"} 

PHP Fatal error: x
PHP Stack trace:
PHP   1. {main}() /srv/a.php:0
Next Exception: y

#hash`},
	"go": {`
SIGQUIT: quit
PC=0x47b4e1 m=0 sigcode=0
~
goroutine 0 [idle]:
runtime.futex()
	/usr/local/go/src/runtime/sys_linux_amd64.s:557 +0x21
~
rax    0xca
rip    0x47b4e1

SIGNIFICANT: no

runtime: goroutine stack exceeds 1000000000-byte limit
fatal error: stack overflow
~
runtime stack:
runtime.throw({0x0, 0x0})
	/usr/local/go/src/runtime/panic.go:1023 +0x5c
...additional frames elided...
created by main.main

goroutines: 7`},
	"python": {`
Traceback (most recent call last):
  File "x.py", line 1, in <module>
ValueError: x
~

next

Traceback (most recent call last):
  File "x.py", line 1, in <module>

Traceback (most recent call last):
  File "x.py", line 1, in <module>
ValueError: x
~
The above exception was the direct cause of the following exception:
~
Traceback (most recent call last):
  File "y.py", line 1, in <module>
KeyError`},
	"js": {`
TypeError: x is not a function
    at f (/app/a.js:1:2)
    at Object.<anonymous> (/app/b.js:3:4) {
  code: 'E',
  [cause]: Error: y
      at g (/app/c.js:1:1)
}

ready

/app/a.js:3
    throw new Error("x");
    ^
~
Error: x
    at f (/app/a.js:3:2)
~
Node.js v22.1.0

next`},
	"dart": {`
Unhandled exception:
Exception: x
#0      main (file:///x.dart:3:3)
<asynchronous suspension>
#1      _delay (dart:isolate:1:1)

next`},
	"rust": {`
thread 'main' panicked at src/main.rs:2:5:
index out of bounds
stack backtrace:
   0: rust_begin_unwind
             at /rustc/x/library/std/src/panicking.rs:1:5
note: run with ` + "`RUST_BACKTRACE=full`" + ` for a verbose backtrace.

thread 'a' panicked at 'x', src/main.rs:2:5
note: run with ` + "`RUST_BACKTRACE=1`" + ` environment variable

Error: could not start
~
Caused by:
    0: a
    1: b

next`},
	"indent": {`
a
  b
	c

d`},
}

func TestPresets(t *testing.T) {
	for preset, texts := range traces {
		for _, text := range texts {
			var want, lines []string
			for _, group := range strings.Split(strings.TrimPrefix(text, "\n"), "\n\n") {
				group = strings.ReplaceAll(group, "\n~", "\n")
				want = append(want, group)
				lines = append(lines, strings.Split(group, "\n")...)
			}
			d := declare.Declaration{Multiline: map[string]string{"preset": preset}}
			var got []string
			for _, r := range run(t, d, newSource(), []byte(strings.Join(lines, "\n")+"\n")) {
				got = append(got, string(r.Line))
			}
			assert.Equal(t, want, got, preset)
		}
	}
}

func TestEveryPresetIsThere(t *testing.T) {
	for _, preset := range declare.MultilinePresets {
		assert.True(t, preset == "auto" || presets[preset] != nil, preset)
	}
	for _, preset := range declare.MaskPresets {
		_, err := newPreset(preset, "")
		assert.NoError(t, err)
	}
}

func TestAppendUnquoted(t *testing.T) {
	for in, want := range map[string]string{
		`plain`: "plain", `\x22q\x22`: `\x22q\x22`, `\"\\\/`: `"\\/`, `a\tb`: `a\tb`, `C:\path`: `C:\path`, `\u4f60`: `\u4f60`, `\`: `\`, `x\`: `x\`, `\\\"`: `\"`,
	} {
		assert.Equal(t, want, string(appendUnquoted(nil, []byte(in))), in)
	}
}

func TestTail(t *testing.T) {
	const line = `1.1.1.1 - - [21/Nov/2026:07:41:07 +0000] "GET / HTTP/1.1" 200 1 "-" "-"`
	const front = `"remote_addr":"1.1.1.1","method":"GET","path":"/","protocol":"HTTP/1.1","status":200,"body_bytes_sent":1`
	for tail, want := range map[string]string{
		``:                                     ``,
		` "-"`:                                 ``,
		` "unknown, 10.0.0.1"`:                 `,"http_x_forwarded_for":"unknown, 10.0.0.1"`,
		` "shop.example.com"`:                  `,"extra":"\"shop.example.com\""`,
		` 0.300 0.200 0.300`:                   `,"request_time":0.300,"upstream_response_time":0.200,"extra":"0.300"`,
		` 0.100 0.200 0.300`:                   `,"extra":"0.100 0.200 0.300"`,
		` 0.1 0.2`:                             `,"extra":"0.1 0.2"`,
		` - 0.200`:                             `,"extra":"- 0.200"`,
		` 1763712000.123`:                      `,"extra":"1763712000.123"`,
		` "-" "198.51.100.7"`:                  `,"extra":"\"198.51.100.7\""`,
		` "2001:db8::7, [2001:db8::8]:443,_a"`: `,"http_x_forwarded_for":"2001:db8::7, [2001:db8::8]:443,_a"`,
		` "0.250" "-, 0.200"`:                  `,"request_time":0.250,"upstream_response_time":[null,0.200]`,
		` request_time=1 rt=2`:                 `,"request_time":1,"extra":"rt=2"`,
		` rt=1 urt=`:                           `,"request_time":1,"extra":"urt="`,
		` rt=1 urt="0.1, 0.2 : -"`:             `,"request_time":1,"upstream_response_time":[0.1,0.2,null]`,
		` "open`:                               `,"extra":"\"open"`,
		` [a`:                                  `,"extra":"[a"`,
		` 1234`:                                `,"extra":"1234"`,
		` 7 8`:                                 `,"extra":"7 8"`,
		` 18 1`:                                `,"bytes_received":18,"bytes_sent":1`,
		` 17 8`:                                `,"extra":"17 8"`,
		` 312 0`:                               `,"extra":"312 0"`,
		` 18 18051234`:                         `,"extra":"18 18051234"`,
		` 5 0.010 [up] [] [::1]:80, [::2]:80 5, - 0.010, - 502, - id`: `,"request_length":5,"request_time":0.010,"proxy_upstream_name":"up","upstream_addr":"[::1]:80, [::2]:80","upstream_response_length":[5,null],"upstream_response_time":[0.010,null],"upstream_status":[502,null],"req_id":"id"`,
		` a b c d e f g h i j k l m n o p q r`:                        `,"extra":"a b c d e f g h i j k l m n o p q r"`,
		` 1 0.5 [up] 10.0.0.1:80 5 0.5 200 id`:                        `,"request_length":1,"request_time":0.5,"proxy_upstream_name":"up","upstream_addr":"10.0.0.1:80","upstream_response_length":5,"upstream_response_time":0.5,"upstream_status":200,"req_id":"id"`,
	} {
		assert.Equal(t, front+want, string(apply(t, declare.Declaration{Format: "nginx"}, line+tail).Fields), tail)
	}
}

// SPDX-License-Identifier: Apache-2.0

// Package level finds the severity of a record, as a number of syslog (RFC 5424, table 2).
package level

import "github.com/remora-logs/remora/shared/record"

// The severities.
const (
	Emergency = iota
	Alert
	Critical
	Error
	Warning
	Notice
	Info
	Debug
)

// names maps the names that programs give their levels.
var names = map[string]int{
	"emerg": Emergency, "emergency": Emergency, "panic": Emergency, "alert": Alert, "crit": Critical, "critical": Critical,
	"fatal": Critical, "err": Error, "error": Error, "severe": Error, "warn": Warning, "warning": Warning, "notice": Notice,
	"info": Info, "information": Info, "informational": Info, "debug": Debug, "trace": Debug,
}

// Of returns the severity of r: that of its field "level" or "severity", or else Error for stderr and Info for the rest.
func Of(r *record.Record) int {
	for rest := r.Fields; ; {
		key, value, after, ok := record.NextField(rest)
		if !ok {
			break
		}
		rest = after
		if string(key) == "level" || string(key) == "severity" {
			if n, known := parse(value); known {
				return n
			}
		}
	}
	if r.Std == record.Stderr {
		return Error
	}
	return Info
}

// parse parses a level's name in quotes, or its syslog number.
func parse(value []byte) (n int, known bool) {
	if len(value) == 1 && value[0] >= '0' && value[0] <= '7' {
		return int(value[0] - '0'), true
	}
	var lower [16]byte
	if len(value) < 2 || value[0] != '"' || len(value)-2 > len(lower) {
		return 0, false
	}
	k := copy(lower[:], value[1:len(value)-1])
	for i, c := range lower[:k] {
		if c >= 'A' && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	n, known = names[string(lower[:k])]
	return n, known
}

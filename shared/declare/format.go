// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/remora-logs/remora/shared/logformat"
	"github.com/remora-logs/remora/shared/pattern"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/timefmt"
)

// setFormat sets the format and checks that it has all of its options. set checks their values.
func (dr *draft) setFormat(d *Declaration) {
	d.Format = "none"
	e, ok := dr.get("format")
	if ok {
		d.Format = strings.ToLower(strings.TrimSpace(e.value))
		if name, ok := formatAliases[d.Format]; ok {
			d.Format = name
		}
	}
	options, known := formatOptions[d.Format]
	if !known {
		dr.refuse(e, fmt.Sprintf("%s is none of the formats %s%s", quote(e.value), strings.Join(formatNames, ", "), didYouMean(d.Format, formatNames)))
		return
	}
	for _, o := range dr.entries {
		option, ok := strings.CutPrefix(o.path, "format.")
		if !ok || slices.Contains(options, option) {
			continue
		}
		has := "no options"
		if len(options) > 0 {
			has = strings.Join(options, ", ")
		}
		dr.refuse(o, fmt.Sprintf("the format %s has no option %s; it has %s", d.Format, option, has))
	}
	switch {
	case d.Format == "regexp" && !dr.has("format.pattern"):
		dr.refuse(entry{key: e.sub("pattern"), place: e.place}, "is missing: the format regexp needs an expression with named groups")
	case d.Format == "csv" && !dr.has("format.keys"):
		dr.refuse(entry{key: e.sub("keys"), place: e.place}, "is missing: the format csv needs the names of the columns")
	}
}

// formatOption returns value in the form that the format expects.
func (d *Declaration) formatOption(option, value string) (string, error) {
	var err error
	switch option {
	case "pattern":
		err = checkRuby(value)
		return value, err
	case "time_format":
		_, err = timefmt.New(value, "")
		return value, err
	case "time_zone":
		value = strings.TrimSpace(value)
		_, err = timefmt.New("", value)
	case "time_key":
		value = strings.TrimSpace(value)
	case "log_format":
		if d.Format == "nginx" || d.Format == "apache2" { // else the option is refused
			_, err = logformat.Compile(d.Format, value, "")
		}
	case "keys":
		if strings.Join(SplitColumns(value), "") == "" {
			err = fmt.Errorf("%s names no column", quote(value))
		}
	case "decode":
		if len(SplitList(value)) == 0 {
			err = fmt.Errorf("%s names no field", quote(value))
		}
	case "depth":
		value = strings.TrimSpace(value)
		_, err = parseCount(value)
	case "numbers":
		if value = strings.ToLower(strings.TrimSpace(value)); value != "text" {
			err = fmt.Errorf("%s is not text, which is all that numbers can be made", quote(value))
		}
	case "dots":
		if value = strings.TrimSpace(value); len(value) > 8 || strings.ContainsAny(value, ".\"\\") || hasControl(value) {
			err = fmt.Errorf("%s can't stand for a dot: at most 8 bytes, and no dot, quote or backslash", quote(value))
		}
	case "into":
		if value = strings.TrimSpace(value); record.Reserved([]byte(value)) || record.HasMember(value) || len(value) > maxName || hasControl(value) {
			err = fmt.Errorf("%s can't hold the fields: a record has a member of that name", quote(value))
		}
	case "schema":
		if value = strings.ToLower(strings.TrimSpace(value)); !slices.Contains(Schemas, value) {
			err = fmt.Errorf("%s is none of %s%s", quote(value), strings.Join(Schemas, ", "), didYouMean(value, Schemas))
		}
	case "delimiter":
		_, err = ParseDelimiter(value)
	case "pair", "separator", "quote":
		_, err = ParseSeparator(value)
	case "keep_message", "lazy_quotes":
		var keep bool
		if keep, err = strconv.ParseBool(strings.ToLower(strings.TrimSpace(value))); err != nil {
			err = fmt.Errorf("%s is neither true nor false", quote(value))
		}
		value = strconv.FormatBool(keep)
	}
	return value, err
}

// checkFormat checks the options of the format against each other.
func (dr *draft) checkFormat(d *Declaration) {
	var (
		fields []string
		e      entry
	)
	switch d.Format {
	case "csv":
		e, _ = dr.get("format.keys")
		if fields = SplitColumns(e.value); strings.Join(fields, "") == "" {
			return
		}
		for i, field := range fields {
			if field != "" && slices.Contains(fields[:i], field) {
				dr.refuse(e, "two columns have the name "+quote(field))
			}
		}
	case "regexp":
		p, err := pattern.CompileRuby(d.FormatOptions["pattern"], false)
		if err != nil {
			return
		}
		e, _ = dr.get("format.pattern")
		fields = p.Groups()
	default:
		return
	}
	for _, field := range fields {
		if _, tag := d.Tags[field]; field != "" && field != "@timestamp" && d.FormatOptions["into"] == "" && (tag || record.Reserved([]byte(field))) {
			dr.warn(e, "the field "+quote(field)+" arrives as "+quote("app_"+field)+", because that name is the record's own")
		}
	}
	if e, ok := dr.get("format.time_key"); ok && !slices.Contains(fields, d.FormatOptions["time_key"]) {
		dr.refuse(e, quote(e.value)+" is none of the fields that the format makes: "+strings.Join(fields, ", "))
	}
}

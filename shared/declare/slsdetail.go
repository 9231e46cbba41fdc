// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
)

// maxDetail is the maximum size of SLS' key detail.
const maxDetail = 64 << 10

// slsDetail is SLS' key detail of a log: the input of a Logtail configuration, as far as it can be translated.
type slsDetail struct {
	LogType       string   `json:"logType"`
	LogPath       string   `json:"logPath"`
	FilePattern   string   `json:"filePattern"`
	Key           []string `json:"key"`
	Separator     string   `json:"separator"`
	Regex         string   `json:"regex"`
	LogBeginRegex string   `json:"logBeginRegex"`
	TimeKey       string   `json:"timeKey"`
	TimeFormat    string   `json:"timeFormat"`
	// Plugin is a pipeline of Logtail's own plugins.
	Plugin json.RawMessage `json:"plugin"`
}

// atOffset returns where JSON is invalid, as the end of a message.
func atOffset(err error) string {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf(", at byte %d", syntax.Offset)
	case errors.As(err, &kind) && kind.Field != "":
		return ": " + quote(kind.Field) + " has another type"
	}
	return ": it is no object"
}

// translateDetail returns our entries for SLS' detail in e. A log whose source is "file" takes its source from it.
func (dr *draft) translateDetail(e entry) (add []entry) {
	var d slsDetail
	switch err := json.Unmarshal([]byte(e.value), &d); {
	case len(e.value) > maxDetail:
		dr.refuse(e, fmt.Sprintf("has %d bytes; at most %d are allowed", len(e.value), maxDetail))
		return nil
	case err != nil:
		dr.refuse(e, "is not the JSON of a Logtail configuration"+atOffset(err))
		return nil
	case len(d.Plugin) > 0:
		dr.refuse(e, "configures plugins of Logtail, which are not here: declare path, format and multiline by keys of their own")
		return nil
	}
	set := func(path, value string) {
		if value != "" && !dr.has(path) {
			n := e
			n.path, n.value, n.place = path, value, e.place+"detail: "
			add = append(add, n)
		}
	}
	for i := range dr.entries {
		if source := &dr.entries[i]; source.path == "" && strings.TrimSpace(source.value) == "file" && d.LogPath != "" {
			source.value = path.Join(d.LogPath, "**", d.FilePattern)
		}
	}
	if begin := d.LogBeginRegex; begin != "" && begin != ".*" {
		set("multiline.start", "^(?:"+begin+")$") // Logtail matches whole lines
	}
	switch d.LogType {
	case "json_log":
		set("format", "json")
		set("format.time_key", d.TimeKey)
		if d.TimeKey != "" {
			set("format.time_format", d.TimeFormat)
		}
	case "delimiter_log":
		set("format", "csv")
		set("format.keys", strings.Join(d.Key, ","))
		if d.Separator != "," {
			set("format.delimiter", d.Separator)
		}
	case "", "common_reg_log":
		if d.Regex != "" && d.Regex != "(.*)" {
			dr.warn(e, "regex is ignored and lines are kept as they are: declare format=regexp, whose groups have names")
		}
	default:
		dr.warn(e, "logType "+quote(d.LogType)+" is ignored and lines are kept as they are")
	}
	return add
}

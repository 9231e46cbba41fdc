// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"maps"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/format"
	"github.com/remora-logs/remora/shared/record"
)

// filebeatVersion is the version of Filebeat in log-pilot's last image.
const filebeatVersion = "6.1.1"

// compatShape returns the shape of log-pilot's records in one of its modes: with Filebeat's members about itself, or with
// fluentd's line of Docker's log file and its time.
func compatShape(mode, host string) record.Shape {
	if mode == "fluentd" {
		return record.Shape{StdLine: "log", Time: true}
	}
	name := record.AppendString(nil, host)
	return record.Shape{Objects: []record.Tag{
		{Key: "beat", Value: `{"name":` + string(name) + `,"hostname":` + string(name) + `,"version":"` + filebeatVersion + `"}`},
		{Key: "prospector", Value: `{"type":"log"}`},
	}}
}

// compatSchema gives the fields of access and error logs fluentd's names if records have log-pilot's shape for fluentd.
func (d *Delivery) compatSchema(of declare.Declaration) declare.Declaration {
	if _, declared := of.FormatOptions["schema"]; declared || d.options.Common.LogPilot() != "fluentd" || !format.HasSchemas(of.Format) {
		return of
	}
	of.FormatOptions = maps.Clone(of.FormatOptions)
	if of.FormatOptions == nil {
		of.FormatOptions = map[string]string{}
	}
	of.FormatOptions["schema"] = "fluentd"
	return of
}

// compatTags returns a declaration's tags, with index and topic if REMORA_COMPAT asks for them: log-pilot gave both to each
// record, and pipelines behind it route by them.
func (d *Delivery) compatTags(of declare.Declaration) []record.Tag {
	tags := Tags(of.Tags)
	if d.options.Common.LogPilot() == "" {
		return tags
	}
	for _, key := range []string{"index", "topic"} {
		if _, declared := of.Tags[key]; !declared {
			tags = append(tags, record.Tag{Key: key, Value: of.Target})
		}
	}
	return tags
}

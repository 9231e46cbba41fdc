// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/remora-logs/remora/shared/declare"
)

// topicsFiles are the files in which log-pilot's users list the Kafka topics that containers may write to, separated by commas
// or newlines. Without such a file, all topics are allowed.
var topicsFiles = []string{"/etc/filebeat/config/kafka_topics", "/etc/fluentd/config/kafka_topics"}

// topics returns the topics in the first of files that exists, or nil if none does.
func topics(files []string) (map[string]bool, error) {
	for _, path := range files {
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all := map[string]bool{}
		for topic := range strings.FieldsFuncSeq(string(content), func(r rune) bool { return r == ',' || r == '\n' || r == '\r' }) {
			if topic = strings.TrimSpace(topic); topic != "" {
				all[topic] = true
			}
		}
		return all, nil
	}
	return nil, nil
}

// refuseTopics removes from set the declarations that would go to a Kafka topic that is not listed, and adds an error for each.
func (a *agent) refuseTopics(set *declare.Set) {
	if a.topics == nil {
		return
	}
	set.Declarations = slices.DeleteFunc(set.Declarations, func(d declare.Declaration) bool {
		topic := cmp.Or(d.Tags["topic"], d.Target)
		refused := slices.ContainsFunc(a.outputs(d), func(output string) bool { return a.kind(output) == "kafka" }) && !a.topics[topic]
		if refused {
			set.Errors = append(set.Errors, declare.Problem{Key: d.Name, Message: "the topic " + topic + " is not one of those that kafka_topics lists"})
		}
		return refused
	})
}

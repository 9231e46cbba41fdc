// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import (
	"net/http"
	"strings"
)

// class is what an error of Elasticsearch means for a record.
type class int

const (
	// refused: the record is at fault, and will never be taken.
	refused class = iota
	// blocked: its index is, or our rights to it: an operator can mend it, or it passes for this index alone.
	blocked
	// busy: the node or the cluster had no time for it.
	busy
)

// kinds are errors whose class does not follow from their status. Names are those of Elasticsearch's exceptions (server,
// org.elasticsearch.ElasticsearchException.getExceptionName), which OpenSearch has kept.
var kinds = map[string]class{
	"index_closed_exception":                  blocked,
	"index_not_found_exception":               blocked,
	"cluster_block_exception":                 blocked, // read-only, closed by ILM, or over the disk's flood stage (403, 429 since 7.4)
	"security_exception":                      blocked,
	"authorization_exception":                 blocked, // OpenSearch's security plugin
	"validation_exception":                    blocked, // no room for another shard in the cluster
	"invalid_index_name_exception":            blocked,
	"invalid_alias_name_exception":            blocked,
	"alias_not_found_exception":               blocked,
	"type_missing_exception":                  blocked,
	"index_template_missing_exception":        blocked,
	"resource_not_found_exception":            blocked, // a pipeline or a policy
	"illegal_index_shard_state":               blocked,
	"unavailable_shards_exception":            busy,
	"resource_already_exists_exception":       busy, // two requests have made the index at once
	"es_rejected_execution_exception":         busy,
	"rejected_execution_exception":            busy, // OpenSearch
	"circuit_breaking_exception":              busy,
	"process_cluster_event_timeout_exception": busy,
}

// mendable are the words of errors that have a general type, usually illegal_argument_exception, and are about the index.
var mendable = []string{
	"no write index is defined for alias", "has more than one index associated with it", "has more than one indices associated with it",
	"pipeline with id", // … does not exist
	"only write ops with an op_type of create are allowed in data streams",
	"would have more than 1 type", "maximum normal shards open", "maximum shards open", "is not the write index",
	"index is read-only", "alias points to", "is an alias", "no matching index template", "auto-creation", "auto creation",
}

// classify returns what an error means. Of 4xx, what is not known to be about the index is the record's fault.
func classify(status int, kind, reason string) class {
	if c, ok := kinds[kind]; ok {
		return c
	}
	lower := strings.ToLower(reason)
	for _, words := range mendable {
		if strings.Contains(lower, words) {
			return blocked
		}
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return blocked
	case http.StatusTooManyRequests:
		if kind != "" {
			return blocked // a limit that we don't know, of this index: busy nodes are among kinds
		}
		return busy
	case http.StatusRequestTimeout:
		return busy
	}
	if status >= 400 && status < 500 {
		return refused
	}
	return busy
}

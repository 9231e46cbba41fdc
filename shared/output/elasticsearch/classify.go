// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import (
	"net/http"
	"strings"
)

// class says what an error of Elasticsearch means for a record.
type class int

const (
	// refused: the record is at fault, and will never be taken.
	refused class = iota
	// blocked: the record's index or our rights to it are at fault. An operator can mend it, or it passes, for this index alone.
	blocked
	// busy: the node or the cluster had no capacity for the record.
	busy
)

// kinds holds the errors whose class does not follow from their status. The names are those of Elasticsearch's exceptions
// (server, org.elasticsearch.ElasticsearchException.getExceptionName), which OpenSearch has kept.
var kinds = map[string]class{
	"fail_processor_exception":                refused, // an ingest pipeline refuses it on purpose; the status is 500
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
	"invalid_type_name_exception":             blocked,
	"index_template_missing_exception":        blocked,
	"resource_not_found_exception":            blocked, // a pipeline or a policy
	"illegal_index_shard_state":               blocked,
	"unavailable_shards_exception":            blocked, // of a red index
	"resource_already_exists_exception":       busy,    // two requests have created the index at once
	"es_rejected_execution_exception":         busy,
	"rejected_execution_exception":            busy, // OpenSearch
	"circuit_breaking_exception":              busy,
	"process_cluster_event_timeout_exception": busy,
}

// mendable holds the beginnings of reasons of illegal_argument_exception, the general type, that are about the index. The rest
// of a reason, and its causes, may hold a name or a value from the record, so they decide nothing.
var mendable = []string{
	"no write index is defined for alias [", "alias [", "the provided expression [", // an alias of several indices
	"pipeline with id [", // … does not exist
	"only write ops with an op_type of create are allowed in data streams",
	"rejecting mapping update to [",                                            // … the final mapping would have more than 1 type
	"validation failed: 1: this action would add [", "this action would add [", // … but this cluster has … maximum shards open
	"no matching index template", "index is read-only",
}

// classify returns the class of an error. reason is the error's own, without its causes. A 4xx that is not known to be about
// the index is the record's fault.
func classify(status int, kind, reason string) class {
	if c, ok := kinds[kind]; ok {
		return c
	}
	if kind == "illegal_argument_exception" || kind == "" {
		lower := strings.ToLower(reason)
		for _, words := range mendable {
			if strings.HasPrefix(lower, words) {
				return blocked
			}
		}
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return blocked
	case http.StatusTooManyRequests:
		if kind != "" {
			return blocked // an unknown limit of this index: errors of busy nodes are in kinds
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

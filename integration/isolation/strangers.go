// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"strings"
)

// stranger is one that behaves badly, each in a way of its own.
type stranger struct {
	name string
	// keys are the declaration's, below its name, as in labels.
	keys map[string]string
	// options are those of docker run, for a container.
	options []string
	// size is that of a line.
	size int
	// lines is how many it writes.
	lines int
	// verdict, where set, is what the backend thinks of its index.
	verdict *verdict
	// says are words of which the status has to show one beside its name.
	says []string
	// arrives asks for all of its lines in the end, once the backend is mended.
	arrives bool
}

// refused are strangers whose index the backend does not take, for reasons that an operator can mend. All must arrive once
// he has.
func refused() []stranger {
	var all []stranger
	for name, v := range map[string]verdict{
		"forbidden":    {403, "security_exception", "action [indices:data/write/bulk[s]] is unauthorized for user [remora]"},
		"unauthorized": {401, "security_exception", "missing authentication credentials"},
		"nowhere":      {404, "index_not_found_exception", "no such index and [action.auto_create_index] is [false]"},
		"throttled":    {429, "es_rejected_execution_exception", "rejected execution of coordinating operation"},
		"blocked":      {403, "cluster_block_exception", "index [blocked] blocked by: [FORBIDDEN/8/index write (api)];"},
		"closed":       {400, "index_closed_exception", "closed"},
		"alias":        {400, "illegal_argument_exception", "no write index is defined for alias [alias]. The write index may be explicitly disabled"},
		"pipeline":     {400, "illegal_argument_exception", "pipeline with id [orders] does not exist"},
	} {
		all = append(all, stranger{name: name, keys: map[string]string{"target": name}, lines: 2000, size: 200, verdict: &v,
			says: []string{v.kind}, arrives: true})
	}
	return all
}

// declaring are strangers whose declarations cost much.
func declaring() []stranger {
	long := strings.Repeat("X", 2000)
	slow := map[string]string{}
	for i := range 20 {
		slow["drop."+string(rune('a'+i))] = `(?=\w)(\w+\s?)+[:` + string(rune('a'+i)) + `]$`
	}
	many := map[string]string{}
	for i := range 300 {
		many["tags.k"+strings.Repeat("y", i%7)+string(rune('a'+i%26))+string(rune('a'+i/26))] = "v"
	}
	return []stranger{
		{name: "maskbomb", keys: map[string]string{"mask": "[a-z] => " + long}, size: 16 << 10, lines: 300},
		{name: "maskchain", keys: map[string]string{"mask.1": "a => " + strings.Repeat("b", 500), "mask.2": "b => " + strings.Repeat("c", 500),
			"mask.3": "c => " + strings.Repeat("d", 500)}, size: 2000, lines: 500},
		{name: "addbomb", keys: map[string]string{"add.big": strings.Repeat("z", 7000)}, size: 60, lines: 5000, arrives: true},
		{name: "slowdrop", keys: slow, size: 44, lines: 600},
		{name: "tagged", keys: many, size: 60, lines: 10, says: []string{"tags"}},
		{name: "longexpression", keys: map[string]string{"drop": strings.Repeat("(a|b)", 3000)}, size: 60, lines: 10, says: []string{"drop"}},
		{name: "stacked", keys: map[string]string{"multiline.start": "^never", "multiline.max_bytes": "1MiB", "multiline.timeout": "1h"}, size: 1000, lines: 20_000},
		{name: "huge", keys: map[string]string{}, size: 900 << 10, lines: 60, arrives: true},
		{name: "loud", keys: map[string]string{}, size: 500, lines: 200_000, arrives: true},
	}
}

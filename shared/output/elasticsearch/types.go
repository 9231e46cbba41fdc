// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"sync"

	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/record"
)

// Before version 7 a record has a type besides its index, and since version 6 an index has only one. Another agent may have
// created the index with a type of its own, so the output asks for it.

// typeName matches the names of types.
var typeName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

// maxTypes bounds the indices whose types are remembered, and maxMapping how much of a mapping is read, in bytes.
const maxTypes, maxMapping = 4096, 16 << 20

// types caches the types of indices. The zero value is ready to use.
type types struct {
	mu    sync.Mutex
	known map[string]string // by index
}

func (t *types) get(index string) (kind string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	kind, ok = t.known[index]
	return kind, ok
}

func (t *types) set(index, kind string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known == nil || len(t.known) >= maxTypes {
		t.known = map[string]string{}
	}
	t.known[index] = kind
}

// forget drops the types of indices, so that they are asked for again.
func (t *types) forget(indices map[string]string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for index := range indices {
		delete(t.known, index)
	}
}

// typesOf returns the type of each index of b's records; nil if the server has no types.
func (o *Output) typesOf(ctx context.Context, node *web.Node, about *server, b *record.Batch) (map[string]string, error) {
	if !about.typed {
		return nil, nil
	}
	all, x := map[string]string{}, indexer{pattern: &o.pattern}
	for i := range b.Records {
		index := x.index(&b.Records[i])
		if _, ok := all[index]; ok {
			continue
		}
		kind, err := o.typeOf(ctx, node, about, index)
		if err != nil {
			return nil, err
		}
		all[index] = kind
	}
	return all, nil
}

// typeOf returns the type of index: ELASTICSEARCH_TYPE, or the index's own, or that of a new index.
func (o *Output) typeOf(ctx context.Context, node *web.Node, about *server, index string) (string, error) {
	if o.config.Type != "" {
		return o.config.Type, nil
	}
	if kind, ok := o.types.get(index); ok {
		return kind, nil
	}
	fresh := o.config.TypeDefault
	if fresh == "_doc" && !about.underscored {
		fresh = "doc"
	}
	u := *node.URL
	u.Path += "/" + index + "/_mapping"
	answer, end, err := o.client.Get(ctx, &u)
	defer end()
	if err != nil {
		o.failed(ctx, node)
		return "", err
	}
	if answer.Status >= 500 || answer.Status == http.StatusTooManyRequests || answer.Status == http.StatusUnauthorized {
		o.nodes.Failed(node, now())
		return "", answer.Verdict()
	}
	kind := ""
	if answer.Status == http.StatusOK {
		kind = mappedType(io.LimitReader(answer.Body, maxMapping), fresh)
	}
	answer.Discard()
	if kind == "" { // the index does not exist, or we may not see it
		kind = fresh
	}
	o.types.set(index, kind)
	return kind, nil
}

// mappedType returns a type of the first index in an answer about mappings: wanted if the index has it, or else its first;
// empty if it has none.
func mappedType(answer io.Reader, wanted string) (kind string) {
	d := json.NewDecoder(answer)
	for _, want := range []any{json.Delim('{'), nil, json.Delim('{')} { // the index, by name
		if t, err := d.Token(); err != nil || want != nil && t != want {
			return ""
		}
	}
	for d.More() {
		member, err := d.Token()
		if err != nil {
			return ""
		}
		if member != "mappings" {
			if skip(d) != nil {
				return ""
			}
			continue
		}
		if t, err := d.Token(); err != nil || t != json.Delim('{') {
			return ""
		}
		for d.More() {
			t, err := d.Token()
			name, ok := t.(string)
			if err != nil || !ok {
				return kind
			}
			if name == wanted {
				return name
			}
			if kind == "" && name != "_default_" && typeName.MatchString(name) {
				kind = name
			}
			if skip(d) != nil {
				return kind
			}
		}
		return kind
	}
	return ""
}

func skip(d *json.Decoder) error {
	var value json.RawMessage
	return d.Decode(&value)
}

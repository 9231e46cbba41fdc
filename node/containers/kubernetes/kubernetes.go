// SPDX-License-Identifier: Apache-2.0

// Package kubernetes lists the containers of one node's Pods from the API server, by one watch. It uses net/http, because
// client-go would add 21 MB to the binary.
package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/remora-logs/remora/node/containers"
)

// Name is the name of this inventory.
const Name = "kubernetes"

const (
	// watchSeconds is the least duration of a watch. A random part of up to as much again is added, so that the watches of a
	// cluster's nodes do not begin together.
	watchSeconds = 300
	// remember is how long an answer about a ConfigMap or a claim, including a refusal, is used before the server is asked
	// again.
	remember = 5 * time.Minute
	// askAgain is the delay before a request that failed is repeated.
	askAgain = 5 * time.Second
	// maxEvent bounds an event of a watch: a Pod has at most 1.5 MiB in etcd.
	maxEvent = 8 << 20
)

// Options configure an Inventory. All are required.
type Options struct {
	Server  Server
	Node    string                   // spec.nodeName of the Pods
	PodLogs string                   // /var/log/pods, on the host
	Kubelet string                   // /var/lib/kubelet, on the host
	See     func(path string) string // maps a path of the host to one that this process can open
}

// Inventory is the inventory of one node. It keeps the Pods that the watch reports, so that List requests none.
type Inventory struct {
	options Options
	api     *api

	mu       sync.Mutex
	synced   chan struct{} // closed when pods is complete for the first time
	pods     map[string]*pod
	err      error // of the last attempt to list
	answered map[string]answer
}

// answer is the API server's answer about a ConfigMap or a claim.
type answer struct {
	data  map[string]string
	err   error     // nil once the server has answered without a refusal
	until time.Time // when to ask again
	used  time.Time
}

// New returns the inventory of a node.
func New(o Options) (*Inventory, error) {
	if o.Node == "" {
		return nil, errors.New("the node's name is not known: set NODE_NAME from spec.nodeName")
	}
	a, err := newAPI(o.Server)
	if err != nil {
		return nil, err
	}
	return &Inventory{options: o, api: a, synced: make(chan struct{}), pods: map[string]*pod{}, answered: map[string]answer{}}, nil
}

// Name implements containers.Inventory.
func (*Inventory) Name() string { return Name }

// List implements containers.Inventory.
func (i *Inventory) List(ctx context.Context) (all []containers.Container, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	select {
	case <-i.synced:
	case <-ctx.Done():
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.err != nil {
			return nil, i.err
		}
		return nil, errors.New("the API server has not answered yet")
	}
	i.mu.Lock()
	pods, err := slices.Collect(maps.Values(i.pods)), i.err
	i.mu.Unlock()
	if err != nil {
		return nil, err
	}
	for _, p := range pods {
		all = append(all, i.containers(ctx, p)...)
	}
	return all, nil
}

// Inspect implements containers.Inventory.
func (i *Inventory) Inspect(ctx context.Context, id string) (containers.Container, error) {
	uid, _, _ := strings.Cut(id, "/")
	i.mu.Lock()
	of := i.pods[uid]
	i.mu.Unlock()
	if of != nil {
		for _, c := range i.containers(ctx, of) {
			if c.ID == id {
				return c, nil
			}
		}
	}
	return containers.Container{}, fmt.Errorf("%w: %s", containers.ErrGone, id)
}

// Watch implements containers.Inventory. It lists the Pods and follows the changes from there.
func (i *Inventory) Watch(ctx context.Context, changed func(id string)) error {
	version, err := i.list(ctx)
	i.mu.Lock()
	i.err = err
	i.mu.Unlock()
	if err != nil {
		return err
	}
	changed("")
	for {
		if version, err = i.follow(ctx, version, changed); err != nil {
			return err
		}
	}
}

func (i *Inventory) query(more string) string {
	return "/api/v1/pods?fieldSelector=" + url.QueryEscape("spec.nodeName="+i.options.Node) + more
}

// list requests all Pods of the node. It asks for resource version 0, so that the server answers from its cache, not from etcd.
func (i *Inventory) list(ctx context.Context) (version string, err error) {
	var list struct {
		Metadata struct{ ResourceVersion string }
		Items    []*pod
	}
	if err := i.api.get(ctx, i.query("&resourceVersion=0"), &list); err != nil {
		return "", err
	}
	pods := make(map[string]*pod, len(list.Items))
	for _, p := range list.Items {
		pods[p.Metadata.UID] = p
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.pods = pods
	select {
	case <-i.synced:
	default:
		close(i.synced)
	}
	return list.Metadata.ResourceVersion, nil
}

// event is one event of a watch.
type event struct {
	Type   string
	Object json.RawMessage
}

// follow watches from a resource version until the server ends the watch, and returns the version to resume from.
func (i *Inventory) follow(ctx context.Context, version string, changed func(id string)) (string, error) {
	seconds := watchSeconds + rand.IntN(watchSeconds)
	body, err := i.api.open(ctx, i.query("&watch=1&allowWatchBookmarks=true&resourceVersion="+url.QueryEscape(version)+
		"&timeoutSeconds="+strconv.Itoa(seconds)))
	if err != nil {
		return "", err
	}
	defer body.Close()
	begun := time.Now()
	limited := &io.LimitedReader{R: body}
	for decoder := json.NewDecoder(limited); ; {
		limited.N = maxEvent
		var e event
		if err := decoder.Decode(&e); errors.Is(err, io.EOF) && limited.N > 0 {
			if time.Since(begun) < time.Second {
				return "", errors.New("the API server ended a watch at once")
			}
			return version, ctx.Err()
		} else if err != nil {
			return "", fmt.Errorf("watch of Pods: %w", err)
		}
		if version, err = i.apply(e, version, changed); err != nil {
			return "", err
		}
	}
}

// apply applies an event and returns the resource version after it.
func (i *Inventory) apply(e event, version string, changed func(id string)) (string, error) {
	if e.Type == "ERROR" {
		var status struct {
			Code    int
			Message string
		}
		_ = json.Unmarshal(e.Object, &status) // a malformed status yields an error without a message
		return "", &statusError{status.Code, status.Message}
	}
	p := new(pod)
	if err := json.Unmarshal(e.Object, p); err != nil {
		return "", fmt.Errorf("watch of Pods: %w", err)
	}
	if e.Type != "BOOKMARK" {
		i.mu.Lock()
		if e.Type == "DELETED" {
			delete(i.pods, p.Metadata.UID)
		} else {
			i.pods[p.Metadata.UID] = p
		}
		i.mu.Unlock()
		for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers, p.Spec.EphemeralContainers) {
			changed(p.Metadata.UID + "/" + c.Name)
		}
	}
	return p.Metadata.ResourceVersion, nil
}

// configMap returns the content of a ConfigMap, which is empty if there is no such ConfigMap. An error means that reading it is
// forbidden or has failed.
func (i *Inventory) configMap(ctx context.Context, namespace, name string) (map[string]string, error) {
	return i.ask(ctx, "/api/v1/namespaces/"+url.PathEscape(namespace)+"/configmaps/"+url.PathEscape(name), func(path string) (map[string]string, error) {
		var m struct{ Data map[string]string }
		err := i.api.get(ctx, path, &m)
		return m.Data, err
	})
}

// volumeOf returns the name of the volume that a claim is bound to, or "" if it is not known.
func (i *Inventory) volumeOf(ctx context.Context, namespace, claim string) string {
	data, err := i.ask(ctx, "/api/v1/namespaces/"+url.PathEscape(namespace)+"/persistentvolumeclaims/"+url.PathEscape(claim), func(path string) (map[string]string, error) {
		var c struct{ Spec struct{ VolumeName string } }
		err := i.api.get(ctx, path, &c)
		return map[string]string{"volume": c.Spec.VolumeName}, err
	})
	if err != nil {
		return ""
	}
	return data["volume"]
}

// ask returns the result of get for path, or an earlier one that is recent. While the server does not answer, the last answer
// stays valid: a container that lost its declarations would lose the removed files that are held open for it.
func (i *Inventory) ask(ctx context.Context, path string, get func(path string) (map[string]string, error)) (map[string]string, error) {
	now := time.Now()
	i.mu.Lock()
	known, ok := i.answered[path]
	if ok {
		known.used = now
		i.answered[path] = known
	}
	i.mu.Unlock()
	if ok && now.Before(known.until) {
		return known.data, known.err
	}
	data, err := get(path)
	fresh := answer{data, err, time.Now().Add(remember), time.Now()}
	switch {
	case isStatus(err, http.StatusNotFound):
		fresh.data, fresh.err = nil, nil
	case err != nil && ok && known.err == nil:
		fresh.data, fresh.err, fresh.until = known.data, nil, time.Now().Add(askAgain)
	case err != nil && !isStatus(err, http.StatusForbidden):
		fresh.until = time.Now().Add(askAgain)
	}
	if ctx.Err() != nil {
		return fresh.data, fresh.err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	maps.DeleteFunc(i.answered, func(_ string, a answer) bool { return now.Sub(a.used) > 2*remember })
	i.answered[path] = fresh
	return fresh.data, fresh.err
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

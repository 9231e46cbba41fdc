// SPDX-License-Identifier: Apache-2.0

// Package containerd is the inventory of containerd itself, by its own services: the containers that nerdctl, ctr and
// other clients have made, in all namespaces. Whose containers it leaves to other inventories, owner.go says.
package containerd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/remora-logs/remora/node/containers"
	"github.com/remora-logs/remora/node/containers/internal/grpc"
)

// Name is the inventory's.
const Name = "containerd"

const (
	// askTimeout bounds a call about one container, listTimeout one round of asking about all containers.
	askTimeout, listTimeout = 10 * time.Second, 25 * time.Second
	// tasksTimeout bounds a list of a namespace's tasks, for which containerd asks each shim in turn, and taskTimeout a
	// question about one. containerd waits two seconds for a shim.
	tasksTimeout, taskTimeout = 5 * time.Second, 3 * time.Second
	// listAgain is how long after a subscription everything is listed a second time: containerd does not tell when a
	// subscription takes effect.
	listAgain = time.Second
)

// Inventory is that of one containerd.
type Inventory struct {
	client     *grpc.Client
	procfs     string
	kubernetes bool
	cache      containers.Cache

	tasksTimeout time.Duration

	mu      sync.Mutex
	updated map[string]string // by ID, of those in the cache: when containerd has changed its record
	named   map[string]owner  // by namespace and name
	large   []string          // IDs of those that the last list left out
}

// New makes the inventory of the containerd at a socket. procfs is where the machine's /proc is seen. kubernetes says that
// containers of Pods are its business, as nobody asks the CRI for them.
func New(socket, procfs string, kubernetes bool) *Inventory {
	return &Inventory{client: grpc.New(socket, nil), procfs: procfs, kubernetes: kubernetes, tasksTimeout: tasksTimeout,
		updated: map[string]string{}, named: map[string]owner{}}
}

// Name implements containers.Inventory.
func (*Inventory) Name() string { return Name }

// call calls a method of a service for a namespace.
func (i *Inventory) call(ctx context.Context, namespace, method string, message []byte) ([]byte, error) {
	return i.client.Call(ctx, request(namespace, method, message))
}

func request(namespace, method string, message []byte) grpc.Request {
	r := grpc.Request{Method: "containerd.services." + method, Message: message}
	if namespace != "" {
		r.Header = map[string]string{"containerd-namespace": namespace}
	}
	return r
}

// List implements containers.Inventory.
func (i *Inventory) List(ctx context.Context) ([]containers.Container, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	answer, err := i.call(ctx, "", "namespaces.v1.Namespaces/List", nil)
	if err != nil {
		return nil, err
	}
	namespaces, err := decodeNamespaces(answer)
	if err != nil {
		return nil, err
	}
	l := listing{runs: map[string]bool{}, updated: map[string]string{}, named: map[string]owner{}}
	namespaces = slices.DeleteFunc(namespaces, func(namespace string) bool { return foreign[namespace] })
	var failed []error
	for _, namespace := range namespaces {
		if err := i.listNamespace(ctx, namespace, &l); err != nil {
			failed = append(failed, fmt.Errorf("namespace %s: %w", namespace, err))
			i.keepAll(namespace, &l)
		}
	}
	if len(failed) > 0 && len(failed) == len(namespaces) {
		return nil, errors.Join(failed...)
	}
	i.renew(&l)
	all := i.cache.Refresh(ctx, l.runs, i.Inspect)
	if len(l.large) > 0 {
		err = &containers.TooLarge{IDs: l.large}
	}
	if len(failed) > 0 { // by one namespace, which is no reason to find nothing in the others
		err = errors.Join(err, &containers.Incomplete{Err: errors.Join(failed...)})
	}
	return all, err
}

// listing is what a list has found.
type listing struct {
	runs    map[string]bool   // by ID, whether a container runs
	updated map[string]string // as in Inventory
	named   map[string]owner
	large   []string
}

// listNamespace lists a namespace's containers as a stream: each is a message of its own, so that one with large labels is
// bounded alone.
func (i *Inventory) listNamespace(ctx context.Context, namespace string, l *listing) error {
	var filter []byte
	if namespace == kubernetesNamespace && !i.kubernetes { // most of a node's, which need not be sent
		filter = text(1, notKubernetes)
	}
	var found []record
	err := i.client.Stream(ctx, request(namespace, "containers.v1.Containers/ListStream", filter), func(message []byte) error {
		r, err := decodeRecord(message)
		if err == nil && i.ours(namespace, &r) {
			r.spec = nil
			found = append(found, r)
		}
		return err
	}, func(beginning []byte) { l.large = append(l.large, key(namespace, idOf(beginning))) })
	if err != nil && !errors.Is(err, grpc.ErrExhausted) {
		return err
	}
	tasks, tasksErr := i.tasks(ctx, namespace)
	if err != nil { // containerd itself refuses to send one, and all behind it
		found = i.listSingly(ctx, namespace, found, tasks, l)
	}
	for _, r := range found {
		id := key(namespace, r.id)
		l.runs[id] = tasks[r.id].running
		if tasksErr != nil { // a new one is asked about alone
			before, known := i.cache.Get(id)
			l.runs[id] = !known || before.Running
		}
		l.updated[id] = r.updated
		claim(l.named, namespace, &r)
	}
	return nil
}

// listSingly asks about each container that is known, or has a task, and that a list did not get to. One that can't be asked about
// stays as it was.
func (i *Inventory) listSingly(ctx context.Context, namespace string, found []record, tasks map[string]task, l *listing) []record {
	asked := map[string]bool{}
	for id := range tasks {
		asked[id] = true
	}
	for _, id := range i.known(namespace) {
		asked[strings.TrimPrefix(id, namespace+"/")] = true
	}
	for _, r := range found {
		delete(asked, r.id)
	}
	for id := range asked {
		r, err := i.record(ctx, namespace, id)
		switch {
		case err == nil && i.ours(namespace, &r):
			found = append(found, r)
		case errors.Is(err, grpc.ErrExhausted):
			l.large = append(l.large, key(namespace, id))
		case err != nil && !errors.Is(err, containers.ErrGone):
			i.keep(key(namespace, id), l)
		}
	}
	return found
}

// known are the containers of a namespace that are in the cache, or were left out by the last list.
func (i *Inventory) known(namespace string) (ids []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for id := range i.updated {
		if strings.HasPrefix(id, namespace+"/") {
			ids = append(ids, id)
		}
	}
	for _, id := range i.large {
		if strings.HasPrefix(id, namespace+"/") {
			ids = append(ids, id)
		}
	}
	return ids
}

// keepAll is keep for all containers of a namespace.
func (i *Inventory) keepAll(namespace string, l *listing) {
	for _, id := range i.known(namespace) {
		i.keep(id, l)
	}
}

// keep lists a container that could not be asked about as it was before, if it was there.
func (i *Inventory) keep(id string, l *listing) {
	before, known := i.cache.Get(id)
	i.mu.Lock()
	defer i.mu.Unlock()
	if slices.Contains(i.large, id) && !slices.Contains(l.large, id) {
		l.large = append(l.large, id)
	}
	if !known {
		return
	}
	l.runs[id], l.updated[id] = before.Running, i.updated[id]
	for name, has := range i.named {
		if has.key == id {
			l.named[name] = has
		}
	}
}

// renew forgets what was remembered of containers whose record has changed, or that are gone.
func (i *Inventory) renew(l *listing) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for id, before := range i.updated {
		if now, there := l.updated[id]; !there || now != before {
			i.cache.Forget(id)
		}
	}
	maps.DeleteFunc(i.updated, func(id string, _ string) bool { _, there := l.updated[id]; return !there })
	for name, now := range l.named {
		if before, ok := i.named[name]; ok && before.key != now.key {
			i.cache.Forget(before.key)
			i.cache.Forget(now.key)
		}
	}
	i.named, i.large = l.named, l.large
}

// record asks for a container's record.
func (i *Inventory) record(ctx context.Context, namespace, id string) (record, error) {
	answer, err := i.call(ctx, namespace, "containers.v1.Containers/Get", text(1, id))
	if err != nil {
		return record{}, err
	}
	return decodeRecord(answer)
}

// tasks asks for the tasks of a namespace, by their container.
func (i *Inventory) tasks(ctx context.Context, namespace string) (map[string]task, error) {
	ctx, cancel := context.WithTimeout(ctx, i.tasksTimeout)
	defer cancel()
	answer, err := i.call(ctx, namespace, "tasks.v1.Tasks/List", nil)
	if err != nil {
		return nil, err
	}
	all, err := decodeTasks(answer)
	byID := make(map[string]task, len(all))
	for _, t := range all {
		byID[t.id] = t
	}
	return byID, err
}

// task asks for the task of a container. It is empty where there is none.
func (i *Inventory) task(ctx context.Context, namespace, id string) (task, error) {
	ctx, cancel := context.WithTimeout(ctx, taskTimeout)
	defer cancel()
	answer, err := i.call(ctx, namespace, "tasks.v1.Tasks/Get", text(1, id))
	if errors.Is(err, grpc.ErrNotFound) {
		return task{}, nil
	}
	if err != nil {
		return task{}, err
	}
	all, err := decodeTasks(answer)
	if err != nil || len(all) == 0 {
		return task{}, err
	}
	return all[0], nil
}

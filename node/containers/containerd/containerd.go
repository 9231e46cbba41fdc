// SPDX-License-Identifier: Apache-2.0

// Package containerd lists the containers of containerd through its own services: those that nerdctl, ctr and other clients
// have created, in all namespaces. See owner.go for the containers that it leaves to other inventories.
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

// Name is the name of this inventory.
const Name = "containerd"

const (
	// askTimeout bounds the calls for one container, listTimeout those of a whole List.
	askTimeout, listTimeout = 10 * time.Second, 25 * time.Second
	// tasksTimeout bounds a list of a namespace's tasks, for which containerd asks each shim in turn, and taskTimeout a
	// request for one task. containerd waits two seconds for a shim.
	tasksTimeout, taskTimeout = 5 * time.Second, 3 * time.Second
	// listAgain is the delay between a subscription and a second list. containerd does not confirm a subscription.
	listAgain = time.Second
)

// Inventory is the inventory of one containerd.
type Inventory struct {
	client     *grpc.Client
	procfs     string
	kubernetes bool
	cache      containers.Cache

	tasksTimeout time.Duration

	mu      sync.Mutex
	updated map[string]string // by ID of a cached container: the update time of its record, as encoded
	named   map[string]owner  // by namespace and name
	large   []string          // IDs of the containers that the last list left out
}

// New returns the inventory of the containerd at a socket. procfs is where the host's /proc is mounted. kubernetes makes it
// list containers of Pods too, because no other inventory does.
func New(socket, procfs string, kubernetes bool) *Inventory {
	return &Inventory{client: grpc.New(socket, nil), procfs: procfs, kubernetes: kubernetes, tasksTimeout: tasksTimeout,
		updated: map[string]string{}, named: map[string]owner{}}
}

// Name implements containers.Inventory.
func (*Inventory) Name() string { return Name }

// call calls a method of a service in a namespace.
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
	if len(failed) > 0 { // some namespaces failed; the others are listed
		err = errors.Join(err, &containers.Incomplete{Err: errors.Join(failed...)})
	}
	return all, err
}

// listing collects the result of a List.
type listing struct {
	runs    map[string]bool   // by ID, whether a container runs
	updated map[string]string // as in Inventory
	named   map[string]owner
	large   []string
}

// listNamespace lists a namespace's containers as a stream. Each container is a message of its own, so that the size limit
// applies to each one separately.
func (i *Inventory) listNamespace(ctx context.Context, namespace string, l *listing) error {
	var filter []byte
	if namespace == kubernetesNamespace && !i.kubernetes { // leaves out most of a node's containers
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
	if err != nil { // containerd refuses to send one container, and sends none after it
		found = i.listSingly(ctx, namespace, found, tasks, l)
	}
	for _, r := range found {
		id := key(namespace, r.id)
		l.runs[id] = tasks[r.id].running
		if tasksErr != nil { // Refresh inspects a new one
			before, known := i.cache.Get(id)
			l.runs[id] = !known || before.Running
		}
		l.updated[id] = r.updated
		claim(l.named, namespace, &r)
	}
	return nil
}

// listSingly asks for each container that is known or has a task and is not in found, the part of the list that was read. A
// container for which the request fails stays as it was.
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

// known returns the IDs of a namespace's containers that are cached or were left out by the last list.
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

// keepAll calls keep for all known containers of a namespace.
func (i *Inventory) keepAll(namespace string, l *listing) {
	for _, id := range i.known(namespace) {
		i.keep(id, l)
	}
}

// keep adds to l a container that could not be asked for, as the last list had it.
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

// renew removes from the cache the containers that are gone, whose record has changed, or whose name has passed to another.
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

// record requests a container's record.
func (i *Inventory) record(ctx context.Context, namespace, id string) (record, error) {
	answer, err := i.call(ctx, namespace, "containers.v1.Containers/Get", text(1, id))
	if err != nil {
		return record{}, err
	}
	return decodeRecord(answer)
}

// tasks requests the tasks of a namespace and returns them by container ID.
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

// task requests the task of a container. The result is the zero task if there is none.
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

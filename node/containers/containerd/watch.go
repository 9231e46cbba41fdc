// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"time"
)

// taskExit is the topic of the exit of any process of a task, such as an exec probe that runs every second.
const taskExit = "/tasks/exit"

// topics are the topics of the events that may change a container.
var topics = []string{"/containers/create", "/containers/update", "/containers/delete", "/tasks/start", taskExit, "/tasks/delete"}

// Watch implements containers.Inventory.
func (i *Inventory) Watch(ctx context.Context, changed func(id string)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var filters []byte
	for _, topic := range topics {
		filters = append(filters, text(1, `topic=="`+topic+`"`)...)
	}
	events, broke := make(chan string), make(chan error, 1)
	go func() {
		broke <- i.client.Stream(ctx, request("", "events.v1.Events/Subscribe", filters), func(message []byte) error {
			e, err := decodeEvent(message)
			if err != nil || foreign[e.namespace] || e.process != "" && e.process != e.container {
				return err
			}
			select {
			case events <- key(e.namespace, e.container):
			case <-ctx.Done():
			}
			return nil
		}, nil)
	}()
	changed("")
	again := time.After(listAgain)
	for {
		select {
		case id := <-events:
			changed(id)
		case <-again: // for changes before the subscription took effect
			changed("")
		case err := <-broke:
			return err
		}
	}
}

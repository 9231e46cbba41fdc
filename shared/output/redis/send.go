// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/wire"
)

// verdict collects the outcome of a batch's records.
type verdict struct {
	output.Partial
	// down holds the nodes that could not be reached; the rest of the batch does not wait for them again.
	down map[*wire.Pool]error
}

func (v *verdict) retry(c *command, cause error) {
	v.Retry = append(v.Retry, c.of.index[c.from:c.to]...)
	v.because(cause)
}

func (v *verdict) block(c *command, cause error) {
	destination := string(appendDestination(nil, c.of.key))
	for _, i := range c.of.index[c.from:c.to] {
		v.Blocked = append(v.Blocked, output.Blockage{Index: i, Destination: destination, Reason: cause.Error()})
	}
	v.because(cause)
}

func (v *verdict) because(cause error) {
	if v.Cause == nil {
		v.Cause = cause
	}
}

func (v *verdict) fail(pool *wire.Pool, err error) {
	if v.down == nil {
		v.down = make(map[*wire.Pool]error)
	}
	v.down[pool] = err
}

// result returns the verdict on a batch of n records.
func (v *verdict) result(n int) error {
	switch {
	case len(v.Retry)+len(v.Blocked) == 0:
		return nil
	case len(v.Retry) == n:
		return v.Cause
	}
	slices.Sort(v.Retry)
	return &v.Partial
}

// flush sends the commands gathered, and empties the request.
func (o *Output) flush(ctx context.Context, w *work, v *verdict) {
	r := &w.request
	if len(r.commands) > 0 {
		pool, _ := o.nodes.of(r.commands[0].of.key)
		redirected := o.say(ctx, pool, r, r.commands, v)
		for _, d := range redirected {
			o.follow(ctx, r, d, v)
		}
	}
	r.bytes, r.commands, r.address = r.bytes[:0], r.commands[:0], ""
}

// redirect is a command that must be sent to another node.
type redirect struct {
	command *command
	address string
	ask     bool // only this time
}

// say sends commands to a node of pool, and decides about each by its answer. It returns those that the node redirects.
func (o *Output) say(ctx context.Context, pool *wire.Pool, r *request, commands []command, v *verdict) (elsewhere []redirect) {
	if err := v.down[pool]; err != nil {
		for i := range commands {
			v.retry(&commands[i], err)
		}
		return nil
	}
	c, err := pool.Get(ctx)
	if err == nil {
		_, err = c.Write(r.bytes[commands[0].at:commands[len(commands)-1].end])
		if err != nil {
			pool.Drop(c)
			err = c.Fail(err)
		}
	}
	if err != nil {
		o.nodes.forget(r.address)
		v.fail(pool, err)
		for i := range commands {
			v.retry(&commands[i], err)
		}
		return nil
	}
	var taken []*command
	fit := true // the connection can be used again
	for i := range commands {
		_, _, err := reply(c)
		var f *failure
		switch {
		case err == nil:
			taken = append(taken, &commands[i])
		case !errors.As(err, &f):
			pool.Drop(c)
			v.fail(pool, c.Fail(err))
			for k := i; k < len(commands); k++ { // their outcome is not known
				v.retry(&commands[k], c.Fail(err))
			}
			return elsewhere
		case f.kind() == "MOVED" || f.kind() == "ASK":
			address, e := o.nodes.move(commands[i].of.key, c.Address, f)
			if e != nil {
				v.retry(&commands[i], c.Fail(err))
				continue
			}
			elsewhere = append(elsewhere, redirect{&commands[i], address, f.kind() == "ASK"})
		default:
			fit = fit && !o.judge(&commands[i], f, c, v)
		}
	}
	o.wait(c, taken, v)
	if fit {
		pool.Put(c)
	} else {
		pool.Drop(c)
	}
	return elsewhere
}

// judge decides about a command that was answered with an error. It reports whether the connection is useless.
func (o *Output) judge(cmd *command, f *failure, c *wire.Conn, v *verdict) (useless bool) {
	err := fmt.Errorf("%s: key %s: %w", c.Address, cmd.of.key, f)
	switch f.kind() {
	case "NOPERM", "WRONGTYPE": // of this key: an operator has to mend it
		v.block(cmd, err)
	case "ERR": // of this command, unless the server has too many connections
		if strings.HasPrefix(f.text, "ERR max number of clients") {
			v.retry(cmd, err)
			return true
		}
		v.block(cmd, err)
	case "READONLY", "NOAUTH", "MASTERDOWN": // no longer a master, or we are no longer logged in
		v.retry(cmd, err)
		return true
	default: // OOM, LOADING, BUSY, MISCONF, NOREPLICAS, CLUSTERDOWN, TRYAGAIN and others that pass
		v.retry(cmd, err)
	}
	return false
}

// wait waits until REDIS_WAIT_REPLICAS replicas have what a node has taken.
func (o *Output) wait(c *wire.Conn, taken []*command, v *verdict) {
	if o.config.WaitReplicas == 0 || len(taken) == 0 {
		return
	}
	c.Extend()
	millis := strconv.FormatInt(max(1, o.config.Timeout.Milliseconds()/2), 10)
	n, _, err := do(c, "WAIT", strconv.Itoa(o.config.WaitReplicas), millis)
	if err == nil && n < int64(o.config.WaitReplicas) {
		err = fmt.Errorf("only %d of %d replicas have it", n, o.config.WaitReplicas)
	}
	if err != nil {
		for _, t := range taken {
			v.retry(t, c.Fail(err))
		}
	}
}

// follow sends one command to the node that it was redirected to. If it is redirected again, it is retried later.
func (o *Output) follow(ctx context.Context, r *request, d redirect, v *verdict) {
	o.nodes.mu.Lock()
	pool := o.nodes.at(d.address)
	o.nodes.mu.Unlock()
	if d.ask {
		c, err := pool.Get(ctx)
		if err == nil {
			if _, _, err = do(c, "ASKING"); err == nil {
				if _, err = c.Write(r.bytes[d.command.at:d.command.end]); err == nil {
					_, _, err = reply(c)
				}
			}
			if err == nil {
				pool.Put(c)
				return
			}
			pool.Drop(c)
			err = c.Fail(err)
		}
		v.retry(d.command, err)
		return
	}
	again := o.say(ctx, pool, &request{bytes: r.bytes, address: d.address}, []command{*d.command}, v)
	for _, a := range again {
		v.retry(d.command, fmt.Errorf("%s: redirected to %s", d.address, a.address))
	}
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// secondPort is how far above the first server's port the second's is, if a run delivers to two outputs.
const secondPort = 3

// deliveries are what a job with two outputs compares: each output alone, and both on one stream of one file.
var deliveries = [][]string{
	{"elasticsearch"},
	{"elasticsearch", "elasticsearch"},
	{"kafka"},
	{"elasticsearch", "kafka"},
}

// twoRows returns the sidecar with each of the deliveries.
func twoRows() (all []collector) {
	for _, kinds := range deliveries {
		all = append(all, collector{name: remoraName, protocol: strings.Join(kinds, " and "), command: func(_ string, j *job) (*exec.Cmd, error) {
			return remoraNamed(kinds, j)
		}})
	}
	return all
}

// remoraNamed returns the sidecar with a named output for each of the kinds, and prepares a server for each.
func remoraNamed(kinds []string, j *job) (*exec.Cmd, error) {
	config, names := "outputs:\n", make([]string, len(kinds))
	for i, kind := range kinds {
		at := *j
		at.port, at.kafka = j.port+i*secondPort, kind == "kafka"
		j.servers = append(j.servers, at)
		names[i] = fmt.Sprintf("output%d", i+1)
		settings := fmt.Sprintf("ELASTICSEARCH_HOSTS: %q, ELASTICSEARCH_INDEX: bench", at.url())
		if at.kafka {
			settings = fmt.Sprintf(`KAFKA_BROKERS: "127.0.0.1:%d"`, at.port)
		}
		config += fmt.Sprintf("  %s: {kind: %s, %s}\n", names[i], kind, settings)
	}
	file := filepath.Join(j.dir, "config.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	cmd, err := remora("", j)
	if err != nil {
		return nil, err
	}
	cmd.Env = append(cmd.Env, "REMORA_CONFIG="+file, "LOGGING_OUTPUT="+strings.Join(names, ","))
	return cmd, nil
}

// arrivedAtAll waits at one server after the other until it has received each line. It adds up duplicates, and returns the
// last line of the slowest.
func arrivedAtAll(ctx context.Context, c collector, servers []job, stall time.Duration) (all stats, err error) {
	for i := range servers {
		s, err := waitFor(c, &servers[i])(ctx, &servers[i], stall)
		if err != nil {
			return all, fmt.Errorf("server on port %d: %w", servers[i].port, err)
		}
		all.Again += s.Again
		if s.Last.After(all.Last) {
			all.Last = s.Last
		}
	}
	return all, nil
}

// compareTwo prints what two outputs cost, compared with each of them alone.
func compareTwo(rows []*row) {
	for _, kinds := range deliveries {
		if len(kinds) < 2 {
			continue
		}
		both := delivering(rows, strings.Join(kinds, " and "))
		alone := []*row{delivering(rows, kinds[0]), delivering(rows, kinds[1])}
		if ratios := both.toMean(alone); len(ratios) > 0 {
			fmt.Printf("%s takes %.2f x (%.2f-%.2f) the mean of the CPU that each of the two takes alone\n",
				both.collector.label(), ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1])
		}
	}
}

// delivering returns the row of Remora with that protocol; nil if there is none.
func delivering(rows []*row, protocol string) *row {
	if at := slices.IndexFunc(rows, func(r *row) bool { return r.collector.protocol == protocol }); at >= 0 {
		return rows[at]
	}
	return nil
}

// toMean returns, for each round that all of them finished, the row's CPU time divided by the mean of the others', the least
// first. For two outputs of the same kind, that mean is the cost of one.
func (r *row) toMean(others []*row) (ratios []float64) {
	if r == nil || slices.Contains(others, nil) {
		return nil
	}
	for i := range r.results {
		var sum float64
		for _, o := range others {
			if i >= len(o.results) {
				return sorted(ratios)
			}
			sum += o.results[i].cpu.Seconds()
		}
		ratios = append(ratios, r.results[i].cpu.Seconds()*float64(len(others))/sum)
	}
	return sorted(ratios)
}

func sorted(v []float64) []float64 { slices.Sort(v); return v }

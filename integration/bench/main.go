// SPDX-License-Identifier: Apache-2.0

// Command bench measures Remora, a bare loop and the installed peers: with the same file, server and tags, in turn, over
// several rounds. Only ratios within a run count, because machines are noisy.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

var cli struct {
	Run struct {
		Bins   string        `default:"bin" help:"Where remora-sidecar lies; scratch files go there too."`
		Size   int64         `default:"1073741824" help:"Bytes of input."`
		Rounds int           `default:"3" help:"How often each collector runs."`
		Jobs   []string      `default:"nginx,json,nginx+parse,json+parse,nginx+gzip,nginx+zstd,nginx+kafka,nginx+cri,nginx+docker,nginx+outputs,nginx+two,nginx+parse+two" help:"Inputs, with +parse to take lines apart, +gzip or +zstd for the codec of bodies, +kafka to deliver there, +cri or +docker for a node agent beside files as a container runtime stores them, +outputs for Remora's other outputs, +two for two outputs on one stream beside one."`
		Only   []string      `help:"Names of collectors, where not all are wanted: bare loop, remora, kernel's loop, kafka's loop, or a peer's binary."`
		Limit  time.Duration `default:"5m" help:"After so long a run has failed."`
		Stall  time.Duration `default:"30s" help:"After so long without a line that had not come before a run has failed as well."`
		Port   int           `default:"19200" help:"Where the server listens, on loopback; a collector may take the port behind it, and a second server the third."`
		Plot   string        `help:"Write a plot as SVG."`
	} `cmd:"" default:"withargs" help:"Measure."`
	Serve struct {
		Address string `required:""`
		Lines   int    `required:""`
		Wire    string `help:"Protocol, not HTTP, to speak two ports further."`
	} `cmd:"" help:"Be the server."`
	Bare struct {
		File string `arg:""`
		URL  string `arg:""`
	} `cmd:"" help:"Be the bare loop."`
	Kernel struct {
		Files   string `arg:"" help:"Pattern of what it reads."`
		Address string `arg:""`
		Bytes   int64  `arg:"" help:"How many it writes."`
	} `cmd:"" help:"Be the kernel's loop."`
	Kafka struct {
		Files   string `arg:"" help:"Pattern of what it reads."`
		Address string `arg:""`
		Bytes   int64  `arg:"" help:"How many it produces."`
	} `cmd:"" help:"Be Kafka's loop."`
}

func main() {
	ctx := kong.Parse(&cli, kong.Name("bench"), kong.Description("Measures Remora beside a bare loop and its peers."))
	var err error
	switch {
	case strings.HasPrefix(ctx.Command(), "serve"):
		err = serve(cli.Serve.Address, cli.Serve.Wire, cli.Serve.Lines)
	case strings.HasPrefix(ctx.Command(), "bare"):
		err = bare(cli.Bare.File, cli.Bare.URL)
	case strings.HasPrefix(ctx.Command(), "kernel"):
		err = runKernelLoop(cli.Kernel.Files, cli.Kernel.Address, cli.Kernel.Bytes)
	case strings.HasPrefix(ctx.Command(), "kafka"):
		err = runKafkaLoop(cli.Kafka.Files, cli.Kafka.Address, cli.Kafka.Bytes)
	default:
		err = measure()
	}
	ctx.FatalIfErrorf(err)
}

// row holds a collector's results in one job, one per round, and the error of the last one.
type row struct {
	job, kind string
	collector collector
	bytes     int64
	lines     int
	results   []result
	failed    error
}

func measure() error {
	o := &cli.Run
	bins, err := filepath.Abs(o.Bins)
	if err != nil {
		return err
	}
	var rows []*row
	fmt.Printf("%d processors, %s, %d rounds, input of %d MiB\n", runtime.NumCPU(), runtime.Version(), o.Rounds, o.Size>>20)
	for _, name := range o.Jobs {
		j, err := prepare(name, bins, o.Size, o.Port)
		if err != nil {
			return err
		}
		done := measureJob(name, j, o.Rounds, patience{o.Limit, o.Stall}, takesPart(j, o.Only))
		_ = os.RemoveAll(strings.TrimSuffix(j.file, "/*.log"))
		_ = os.RemoveAll(j.root)
		rows = append(rows, done...)
		print(name, done, yardstick(rows, j.kind))
		if j.two {
			compareTwo(done)
		}
		for _, r := range done {
			if r.collector.ours() && r.failed != nil {
				return r.failed
			}
		}
	}
	if o.Plot != "" {
		return plot(o.Plot, rows)
	}
	return nil
}

func prepare(name, bins string, size int64, port int) (job, error) {
	parts := strings.Split(name, "+")
	line, ok := kinds[parts[0]]
	if !ok {
		return job{}, fmt.Errorf("job %s: inputs are nginx and json", name)
	}
	one := int64(len(line(nil, 0)))
	j := job{kind: parts[0], lines: int(size / one), bytes: size / one * one, port: port, bins: bins,
		file: filepath.Join(bins, "bench-"+parts[0]+".log")}
	for _, p := range parts[1:] {
		switch p {
		case "parse":
			j.parse = true
		case "gzip", "zstd":
			j.codec = p
		case "kafka":
			j.kafka = true
		case "cri", "docker":
			j.form = forms[p]
		case "outputs":
			j.outputs = true
		case "two":
			j.two = true
		default:
			return job{}, fmt.Errorf("job %s: %q is none of parse, gzip, zstd, kafka, cri, docker, outputs, two", name, p)
		}
	}
	if j.kafka {
		var err error
		j.file, err = split(&j)
		return j, err
	}
	if err := write(j.file, j.kind, j.lines); err != nil || j.form.name == "" {
		return j, err
	}
	j.root = filepath.Join(bins, "bench-root")
	var err error
	j.stored, err = j.form.store(j.root, j.file)
	return j, err
}

// measureJob runs each collector once per round, in turn. A collector that fails is not run again, and one that takes no part
// has no row.
func measureJob(name string, j job, rounds int, patience patience, all []collector) (rows []*row) {
	for _, c := range all {
		rows = append(rows, &row{job: name, kind: j.kind, collector: c, bytes: j.bytes, lines: j.lines})
	}
	for range rounds {
		for _, r := range rows {
			if r.failed != nil {
				continue
			}
			result, err := run(r.collector, j, patience)
			if err != nil {
				r.failed = err
				fmt.Fprintf(os.Stderr, "%s, %s: %v\n", name, r.collector.label(), err)
				continue
			}
			r.results = append(r.results, result)
			if r.collector.name == remoraName && r.collector.protocol == "" {
				j.written = result.written
			}
		}
	}
	return slices.DeleteFunc(rows, func(r *row) bool { return errors.Is(r.failed, errNoPart) })
}

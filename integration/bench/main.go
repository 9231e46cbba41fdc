// Command bench measures Remora beside a bare loop and whichever peers are installed: the same file, the same server, the
// same tags, in turn, several rounds. What counts is the ratio within a run: machines are noisy.
package main

import (
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
		Jobs   []string      `default:"nginx,json,nginx+parse,json+parse,nginx+gzip,nginx+kafka" help:"Inputs, with +parse to take lines apart, +gzip or +zstd for the codec of bodies, +kafka to deliver there."`
		Only   []string      `help:"Names of collectors, where not all are wanted."`
		Limit  time.Duration `default:"5m" help:"After so long a run has failed."`
		Port   int           `default:"19200" help:"Where the server listens, on loopback."`
		Plot   string        `help:"Write a plot as SVG."`
	} `cmd:"" default:"withargs" help:"Measure."`
	Serve struct {
		Address string `required:""`
		Lines   int    `required:""`
	} `cmd:"" help:"Be the server."`
	Bare struct {
		File string `arg:""`
		URL  string `arg:""`
	} `cmd:"" help:"Be the bare loop."`
}

func main() {
	ctx := kong.Parse(&cli, kong.Name("bench"), kong.Description("Measures Remora beside a bare loop and its peers."))
	var err error
	switch {
	case strings.HasPrefix(ctx.Command(), "serve"):
		err = serve(cli.Serve.Address, cli.Serve.Lines)
	case strings.HasPrefix(ctx.Command(), "bare"):
		err = bare(cli.Bare.File, cli.Bare.URL)
	default:
		err = measure()
	}
	ctx.FatalIfErrorf(err)
}

// row is a collector's results in one job, a round each.
type row struct {
	job, name string
	bytes     int64
	lines     int
	results   []result
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
		done, err := measureJob(name, j, o.Rounds, o.Limit, o.Only)
		_ = os.RemoveAll(strings.TrimSuffix(j.file, "/*.log"))
		if err != nil {
			return err
		}
		rows = append(rows, done...)
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
		default:
			return job{}, fmt.Errorf("job %s: %q is none of parse, gzip, zstd, kafka", name, p)
		}
	}
	if j.kafka {
		var err error
		j.file, err = split(&j)
		return j, err
	}
	return j, write(j.file, j.kind, j.lines)
}

func measureJob(name string, j job, rounds int, limit time.Duration, only []string) ([]*row, error) {
	var rows []*row
	for _, c := range collectors(&j) {
		if len(only) == 0 || slices.Contains(only, c.name) {
			rows = append(rows, &row{job: name, name: c.name, bytes: j.bytes, lines: j.lines})
		}
	}
	can := map[string]error{}
	for range rounds {
		for _, c := range collectors(&j) {
			at := slices.IndexFunc(rows, func(r *row) bool { return r.name == c.name })
			if at < 0 || can[c.name] != nil {
				continue
			}
			r, err := run(c, j, limit)
			if err != nil {
				can[c.name] = err
				fmt.Fprintf(os.Stderr, "%s, %s: %v\n", name, c.name, err)
				continue
			}
			rows[at].results = append(rows[at].results, r)
		}
	}
	rows = slices.DeleteFunc(rows, func(r *row) bool { return len(r.results) == 0 })
	print(name, rows)
	if can["remora"] != nil {
		return nil, can["remora"]
	}
	return rows, nil
}

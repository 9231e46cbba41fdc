// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/format"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/stream"
)

// Kind is the form of the bytes in a stream. It determines the cutter.
type Kind int

const (
	Lines    Kind = iota // text, in the encoding that the declaration names
	Frames               // the engine's frames (moby api/types/plugins/logdriver)
	CRI                  // lines of a container runtime's log file for the kubelet
	JSONFile             // the file of Docker's log driver json-file
	Local                // the file of Docker's log driver local
	Chunks               // a container's bytes as they came; the stream is a stream.Chunked
)

// Request is one stream under one declaration on its way to one output.
type Request struct {
	Declaration declare.Declaration
	Stream      stream.Stream
	Kind        Kind
	// PartialTimeout is how long a partial message waits for its end before it is delivered. Lines does not use it.
	PartialTimeout time.Duration
	// Path is the record's source: the path as its writer knows it, or declare.Stdout.
	Path string
	// Tags come after the declaration's own. Origin identifies the writer of the stream.
	Tags, Origin []record.Tag
	Output       string
	// Series, Keep and Done are as in pipeline.Route.
	Series string
	Keep   bool
	Done   func()
}

// Attach starts delivering a stream. It fails if the declaration can't be carried out, so that nothing is delivered that a
// filter should have masked or dropped.
func (d *Delivery) Attach(r Request) (*pipeline.Feed, error) {
	r.Declaration = d.compatSchema(r.Declaration)
	tags := append(d.compatTags(r.Declaration), r.Tags...)
	src := d.source(r, tags)
	open := func() (cut.Cutter, *format.Chain, error) {
		chain, err := format.New(r.Declaration, src, format.Options{Log: d.options.Log,
			MaxRecordBytes: d.options.Common.MaxRecordBytes, Rates: &d.rates, Owner: owner(r)})
		if err != nil {
			return nil, nil, fmt.Errorf("declaration %s: %w", r.Declaration.Name, err)
		}
		cutter, err := d.cutter(r, src)
		if err != nil {
			return nil, nil, fmt.Errorf("declaration %s: %w", r.Declaration.Name, err)
		}
		return onlyStream(cutter, r.Declaration.Streams), chain, nil
	}
	return d.Pipeline.Attach(pipeline.Route{Stream: r.Stream, Open: open, Source: src, Output: r.Output, Rules: rules(r), Series: r.Series, Keep: r.Keep, Done: r.Done})
}

// rules returns a hash of everything besides settings of the process that the records of r's stream depend on.
func rules(r Request) string {
	r.Stream, r.Output, r.Done, r.Series, r.Keep = nil, "", nil, "", false
	sum := sha256.Sum256(fmt.Appendf(nil, "%#v", r)) // fmt prints maps in the order of their keys
	return string(sum[:])
}

// owner returns a key for the container that declares r, and r's output. All streams with the same key share one rate_limit.
func owner(r Request) string {
	var b strings.Builder
	for _, t := range r.Origin {
		b.WriteString(t.Key + "=" + t.Value + "\x00")
	}
	return b.String() + r.Output
}

func (d *Delivery) cutter(r Request, src *record.Source) (cut.Cutter, error) {
	limit, timeout := d.options.Common.MaxRecordBytes, r.PartialTimeout.Nanoseconds()
	switch encoding := r.Declaration.Files["encoding"]; {
	case r.Kind == Frames:
		return cut.NewFrames(src, r.Stream, limit, timeout), nil
	case r.Kind == CRI:
		return cut.NewCRI(src, r.Stream, limit, timeout), nil
	case r.Kind == JSONFile:
		return cut.NewJSONFile(src, r.Stream, limit, timeout), nil
	case r.Kind == Chunks:
		chunked, ok := r.Stream.(stream.Chunked)
		if !ok {
			return nil, fmt.Errorf("stream %s has no index", r.Stream.Key())
		}
		return cut.NewChunks(src, chunked, limit, timeout), nil
	case r.Kind == Local:
		return cut.NewLocal(src, r.Stream, limit, timeout), nil
	case encoding == "" || encoding == "utf-8":
		return cut.NewLines(src, limit), nil
	default:
		return cut.NewEncoded(encoding, src, limit)
	}
}

// Outputs returns the outputs that the declaration goes to: those configured ones that it names, or all if it names none. While
// settings are wrong it returns all that the declaration names, so that what is stored for them waits.
func (d *Delivery) Outputs(of declare.Declaration) []string {
	switch {
	case len(of.Outputs) == 0:
		return d.options.Outputs
	case d.idle:
		return of.Outputs
	}
	var all []string
	for _, name := range d.options.Outputs {
		if slices.Contains(of.Outputs, name) {
			all = append(all, name)
		}
	}
	return all
}

// Kind returns the kind of the named output, such as kafka for one of several Kafka clusters.
func (d *Delivery) Kind(output string) string { return d.named.first.Kind(output) }

// Dialect returns the dialect of the declarations that this process can carry out.
func (d *Delivery) Dialect() *declare.Dialect {
	outputs := d.options.Outputs
	if d.idle {
		outputs = nil // it is not known which outputs there will be
	}
	return declare.New(d.options.Common.Prefix, outputs...).WithVariables(Protected(), d.options.Common.TagsFrom)
}

// source returns what all records of r share. REMORA_FIELDS selects tags of the origin, and members. The status knows the
// container in any case.
func (d *Delivery) source(r Request, tags []record.Tag) *record.Source {
	full := format.NewSource(r.Declaration, r.Stream.Key(), r.Path, tags, r.Origin)
	src := full
	if len(d.options.Common.Fields) > 0 {
		kept := slices.DeleteFunc(slices.Clone(r.Origin), func(t record.Tag) bool { return !d.keepsField(t.Key) })
		src = format.NewSource(r.Declaration, r.Stream.Key(), r.Path, tags, kept)
		src = src.Less(record.Without{Source: !d.keepsField("source"), Offset: !d.keepsField("offset"), Stream: !d.keepsField("stream")})
		src.SetContainer(full.Container())
		src.SetWriter(full.Writer())
	}
	if mode := d.options.Common.LogPilot(); mode != "" {
		src = src.Shaped(compatShape(mode, d.options.Common.HostName()))
	}
	return src
}

func (d *Delivery) keepsField(name string) bool {
	return slices.ContainsFunc(d.options.Common.Fields, func(pattern string) bool {
		ok, err := path.Match(strings.TrimSpace(pattern), name)
		return ok && err == nil
	})
}

// Tags returns a declaration's tags, or a Set's metadata, in the order of their keys.
func Tags(of map[string]string) []record.Tag {
	tags := make([]record.Tag, 0, len(of))
	for _, key := range slices.Sorted(maps.Keys(of)) {
		tags = append(tags, record.Tag{Key: key, Value: of[key]})
	}
	return tags
}

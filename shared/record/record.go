// SPDX-License-Identifier: Apache-2.0

// Package record holds what flows through Remora: records, the batches they travel in, and the JSON they become.
//
// A batch owns all the memory its records point into, and is used again once the backend has acknowledged it; a record
// costs no allocation of its own.
package record

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
)

// Std is the standard stream of a container that a record came through.
type Std uint8

// The standard streams. A record of a file has none.
const (
	NoStd Std = iota
	Stdout
	Stderr
)

// String is the word that a record carries under "stream"; empty where there is none.
func (s Std) String() string {
	switch s {
	case Stdout:
		return "stdout"
	case Stderr:
		return "stderr"
	}
	return ""
}

// Record is one log record. Line and Fields point into memory of the batch that holds the record.
type Record struct {
	// Line is what the application wrote, without its newline; any byte may occur in it. It is nil where a format took
	// the line apart and the line was not asked to be kept.
	Line []byte
	// Fields are JSON members without the braces around them: `"status":200,"path":"/"`. Always valid JSON in one line, no
	// member twice, never one that Source.Owns. A format writes them; outputs splice them in, or walk them with EachField.
	Fields []byte
	// Source is what this record shares with all others of its stream and declaration.
	Source *Source
	// Time is in nanoseconds since 1970: parsed from the line, else the engine's, else when it was read.
	Time int64
	// Offset of the record's first byte in its stream. With Source.ID it is the record's identity.
	Offset int64
	// Std is the standard stream that it came through.
	Std Std
	// SameTime counts the records directly before this one in its stream and declaration that have the same Time. It is
	// set when the record enters a batch and stays with it, however the batch is cut later.
	SameTime uint32
	// Truncated means that the record was cut at the size limit; the rest is in the next record.
	Truncated bool
	// Marker means that Remora wrote this record itself (a gap, a rate limit), so that its identity can't be taken for
	// that of a line at the same offset.
	Marker bool
}

// Tag is a key and its value, added to each record of a source.
type Tag struct{ Key, Value string }

// Store is what a log says of the store that it goes to, for outputs that have such; the zero value says nothing.
type Store struct {
	Project     string // of Alibaba Cloud's SLS
	Shards, TTL int    // of a store that is created for the log; TTL is in days
}

// Source is what the records of one stream under one declaration share. It is immutable once made, and safe for
// concurrent use.
type Source struct {
	// ID is 16 characters of [A-Za-z0-9_-], derived from stream and declaration: 96 bits, the same after a restart.
	ID string
	// Stream is the key of the stream.
	Stream string
	// Declaration is the name under which it was declared.
	Declaration string
	// Path is what records carry under "source": stdout, or the path of the file.
	Path string
	// Target is where it is to go; Index and Topic are the same unless a tag of that name overrides them for
	// Elasticsearch or Kafka.
	Target, Index, Topic string
	// Pipeline is the tag pipeline: the ingest pipeline that Elasticsearch sends the records through; empty for none.
	Pipeline string
	// Store is what the declaration says of the store that the records go to. Set it before the Source is used.
	Store Store
	// Tags are the declared tags and then the origin's, each key once. Not to be changed.
	Tags []Tag
	// Origin counts how many of the last Tags are the origin's: who wrote it, as against what was declared.
	Origin int

	// Members that all records share, as JSON: what precedes the offset, the mark of a cut record, and, by Std, what
	// follows the fields, up to the closing brace.
	offset, truncated []byte
	line, tail        [3][]byte
	members           Members
	shape             Shape
	own               map[string]struct{}
	name              func(member string) string // what the record calls a member of Remora's
	container         string                     // of SetContainer
	writer            string                     // of SetWriter
}

// ownMembers are the members of a record that are Remora's own, beside tags and origin.
var ownMembers = []string{"@timestamp", "stream", "source", "offset", "truncated", "parse_error", "remora"}

// HasMember reports whether each record has a member of this name of its own, so that no tag can have it.
func HasMember(name string) bool { return name == "message" || slices.Contains(ownMembers, name) }

// Reserved reports whether a name is Remora's in every record, whether the record has such a member or not: what an
// application writes must not pass for what Remora knows of it, nor for what backends keep for themselves.
func Reserved(name []byte) bool {
	if len(name) == 0 {
		return true // backends refuse it
	}
	switch name[0] {
	case '_':
		return true
	case '@':
		return string(name) == "@timestamp" || string(name) == "@metadata"
	case 'c':
		return string(name) == "container_id"
	case 'd':
		return hasPrefix(name, "docker_")
	case 'h':
		return string(name) == "host"
	case 'i':
		return string(name) == "image"
	case 'k':
		return hasPrefix(name, "k8s_")
	case 'o':
		return string(name) == "offset"
	case 'p':
		return string(name) == "parse_error"
	case 'r':
		return hasPrefix(name, "remora")
	case 's':
		return string(name) == "source" || string(name) == "stream" || hasPrefix(name, "swarm_")
	case 't':
		return string(name) == "truncated"
	}
	return false
}

func hasPrefix(p []byte, prefix string) bool {
	return len(p) >= len(prefix) && string(p[:len(prefix)]) == prefix
}

// NewSource makes the Source of the declaration named name on stream key. A tag that has the name of one of the
// record's own members is left out; where a tag and the origin have the same key, the origin's value is kept.
func NewSource(key, name, path, target string, tags, origin []Tag) *Source {
	sum := sha256.Sum256([]byte(key + "\x00" + name))
	s := &Source{
		ID: base64.RawURLEncoding.EncodeToString(sum[:12]), Stream: key, Declaration: name, Path: path,
		Target: target, Index: target, Topic: target,
		own:  make(map[string]struct{}, len(ownMembers)+len(tags)+len(origin)),
		name: func(member string) string { return member },
	}
	for _, k := range ownMembers {
		s.own[k] = struct{}{}
	}
	for _, t := range origin {
		if s.claim(t.Key) {
			s.Tags = append(s.Tags, t)
		}
	}
	s.Origin = len(s.Tags)
	declared := make([]Tag, 0, len(tags)+s.Origin)
	for _, t := range tags {
		switch t.Key {
		case "index":
			s.Index = t.Value
		case "topic":
			s.Topic = t.Value
		case "pipeline":
			s.Pipeline = t.Value
		}
		if t.Key != "message" && s.claim(t.Key) {
			declared = append(declared, t)
		}
	}
	s.Tags = append(declared, s.Tags...)
	s.encode()
	return s
}

// Renamed returns a Source like s, in whose records the members that are Remora's, tags among them, have the names that
// name returns.
func (s *Source) Renamed(name func(member string) string) *Source {
	c := *s
	c.name = name
	c.encode()
	return &c
}

func (s *Source) encode() {
	s.nameMembers()
	for std := NoStd; std <= Stderr; std++ {
		s.line[std] = []byte(`,"message":`)
		if std != NoStd && s.shape.StdLine != "" {
			s.line[std] = append(AppendString([]byte(","), s.shape.StdLine), ':')
		}
	}
	if s.offset = nil; !s.members.Without.Offset {
		s.offset = append(AppendString([]byte(","), s.name("offset")), ':')
	}
	s.truncated = append(AppendString([]byte(","), s.name("truncated")), ":true"...)
	for std := NoStd; std <= Stderr; std++ {
		s.tail[std] = s.encodeTail(std)
	}
}

// SetContainer sets what Container returns, for a source whose tags of the container were left out.
func (s *Source) SetContainer(name string) { s.container = name }

// Container is the name that people know the writer's container by; empty where it is not known.
func (s *Source) Container() string {
	if s.container != "" {
		return s.container
	}
	for _, key := range []string{"docker_container", "k8s_container_name"} {
		for _, t := range s.Tags[len(s.Tags)-s.Origin:] {
			if t.Key == key {
				return t.Value
			}
		}
	}
	return ""
}

// SetWriter sets what Writer returns, for a source whose tags of the container were left out.
func (s *Source) SetWriter(name string) { s.writer = name }

// Writer names the container alone on its machine: NAMESPACE/POD/CONTAINER in Kubernetes, where containers of many Pods
// share a name, else Container.
func (s *Source) Writer() string {
	if s.writer != "" {
		return s.writer
	}
	var namespace, pod, container string
	for _, t := range s.Tags[len(s.Tags)-s.Origin:] {
		switch t.Key {
		case "k8s_pod_namespace":
			namespace = t.Value
		case "k8s_pod":
			pod = t.Value
		case "k8s_container_name":
			container = t.Value
		}
	}
	if namespace == "" || pod == "" || container == "" {
		return s.Container()
	}
	return namespace + "/" + pod + "/" + container
}

func (s *Source) claim(key string) bool {
	if _, taken := s.own[key]; taken {
		return false
	}
	s.own[key] = struct{}{}
	return true
}

func (s *Source) encodeTail(std Std) []byte {
	var b []byte
	member := func(name, value string) {
		b = append(AppendString(append(b, ','), s.name(name)), ':')
		b = AppendString(b, value)
	}
	if std != NoStd && !s.members.Without.Stream {
		member("stream", std.String())
	}
	if !s.members.Without.Source {
		member("source", s.Path)
	}
	for _, t := range s.Tags {
		member(t.Key, t.Value)
	}
	for _, o := range s.shape.Objects {
		b = append(append(AppendString(append(b, ','), o.Key), ':'), o.Value...)
	}
	return append(b, '}')
}

// Owns reports whether key is reserved, or a tag, or of the origin, which an application's field must not overwrite.
// "message" is not among them: it is free where a format took the line apart.
func (s *Source) Owns(key []byte) bool {
	if Reserved(key) {
		return true
	}
	_, ok := s.own[string(key)]
	return ok || len(s.shape.Objects) > 0 && s.shape.holds(key)
}

// AppendID appends the record's identity to dst: printable ASCII, at most 40 bytes, the same each time it is sent.
func (r *Record) AppendID(dst []byte) []byte { return r.AppendIDPlace(r.Source.AppendIDStart(dst)) }

// AppendIDStart appends the beginning of an identity, which all records of s share.
func (s *Source) AppendIDStart(dst []byte) []byte { return append(append(dst, s.ID...), '.') }

// AppendIDPlace appends the rest of an identity, which is r's alone in its source.
func (r *Record) AppendIDPlace(dst []byte) []byte {
	dst = appendBase36(dst, r.Offset)
	if r.Marker {
		dst = append(dst, '!')
	}
	return dst
}

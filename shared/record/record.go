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

// String returns the value of a record's member "stream": stdout, stderr, or "" for NoStd.
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
	// Line is what the application wrote, without its newline; any byte may occur in it. It is nil if a format parsed the line
	// and the declaration does not keep it.
	Line []byte
	// Fields are JSON members without the braces around them: `"status":200,"path":"/"`. They are valid JSON in one line, with
	// no member twice and none that Source.Owns. A format writes them; outputs splice them in or walk them with EachField.
	Fields []byte
	// Source holds what this record shares with all others of its stream and declaration.
	Source *Source
	// Time is in nanoseconds since 1970. It was parsed from the line, or is the engine's, or else is when the line was read.
	Time int64
	// Offset is that of the record's first byte in its stream. With Source.ID it is the record's identity.
	Offset int64
	// Std is the standard stream that the record came through.
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

// Store holds a log's settings for outputs that write to stores; the zero value sets nothing.
type Store struct {
	Project     string // of Alibaba Cloud's SLS
	Shards, TTL int    // of a store that is created for the log; TTL is in days
}

// Source holds what the records of one stream under one declaration share. Once records refer to it, it must not be changed;
// it is then safe for concurrent use.
type Source struct {
	// ID is 16 characters of [A-Za-z0-9_-], derived from stream and declaration: 96 bits, the same after a restart.
	ID string
	// Stream is the key of the stream.
	Stream string
	// Declaration is the declaration's name.
	Declaration string
	// Path is the value of the member "source": stdout, or the path of the file.
	Path string
	// Target is where the records go. Index and Topic are equal to it unless a tag of that name overrides them for
	// Elasticsearch or Kafka.
	Target, Index, Topic string
	// Pipeline is the tag "pipeline": the ingest pipeline that Elasticsearch sends the records through; empty for none.
	Pipeline string
	// Store holds the declaration's settings of the store. It must be set before the Source is used.
	Store Store
	// Tags are the declared tags and then the origin's, each key once. They must not be changed.
	Tags []Tag
	// Origin is the number of Tags, at the end, that describe the origin rather than being declared.
	Origin int

	// JSON that all records share: what precedes the line and the offset, the mark of a truncated record, and what follows the
	// fields, up to the closing brace. line and tail are indexed by Std.
	offset, truncated []byte
	line, tail        [3][]byte
	members           Members
	shape             Shape
	own               map[string]struct{}
	name              func(member string) string // returns the name that records have for a member of Remora's
	container         string                     // of SetContainer
	writer            string                     // of SetWriter
}

// ownMembers are the members of a record that are Remora's own, besides tags and origin.
var ownMembers = []string{"@timestamp", "stream", "source", "offset", "truncated", "parse_error", "remora"}

// HasMember reports whether records have a member of their own with this name, so that no tag can have it.
func HasMember(name string) bool { return name == "message" || slices.Contains(ownMembers, name) }

// Reserved reports whether a name is Remora's in every record, even if the record has no such member. What an application
// writes must pass neither for what Remora knows about it, nor for what backends reserve for themselves.
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

// NewSource returns the Source of the declaration named name on the stream key. It drops tags that have the name of one of the
// record's own members. If a declared tag and the origin have the same key, the origin's value is kept.
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

// Renamed returns a copy of s in whose records the members that are Remora's, including tags, have the names that name returns.
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

// SetContainer sets the result of Container, for a source without the container's tags. It must be called before s is used.
func (s *Source) SetContainer(name string) { s.container = name }

// Container returns the name by which users know the container that wrote the log; empty if it is not known.
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

// SetWriter sets the result of Writer, for a source without the container's tags. It must be called before s is used.
func (s *Source) SetWriter(name string) { s.writer = name }

// Writer returns a name of the container that is unique on its machine: NAMESPACE/POD/CONTAINER in Kubernetes, where
// containers of many Pods share a name, and otherwise Container.
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

// Owns reports whether key is reserved or names a tag, declared or of the origin: an application's field must not overwrite
// it. "message" is not owned, because it is free if a format parsed the line.
func (s *Source) Owns(key []byte) bool {
	if Reserved(key) {
		return true
	}
	_, ok := s.own[string(key)]
	return ok || len(s.shape.Objects) > 0 && s.shape.holds(key)
}

// AppendID appends the record's identity to dst: at most 40 bytes of printable ASCII, the same each time the record is sent.
func (r *Record) AppendID(dst []byte) []byte { return r.AppendIDPlace(r.Source.AppendIDStart(dst)) }

// AppendIDStart appends the beginning of an identity, which all records of s share.
func (s *Source) AppendIDStart(dst []byte) []byte { return append(append(dst, s.ID...), '.') }

// AppendIDPlace appends the rest of an identity, which is unique to r within its source.
func (r *Record) AppendIDPlace(dst []byte) []byte {
	dst = appendBase36(dst, r.Offset)
	if r.Marker {
		dst = append(dst, '!')
	}
	return dst
}

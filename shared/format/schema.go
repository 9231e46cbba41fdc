// SPDX-License-Identifier: Apache-2.0

package format

import (
	"strconv"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
)

// schema maps the fields of access and error logs, and a record's own members, to the names that existing dashboards use.
// Names are flat, with dots. None is a prefix of another up to a dot, because Elasticsearch would take it for an object.
type schema struct {
	fields map[string]string // of formats
	own    map[string]string // of the record
	rest   bool              // the server's name precedes fields that the schema has no name for
	bare   bool              // protocols are only versions: 1.1
}

// schemas are the values of format.schema; remora, the default, changes nothing.
var schemas = map[string]*schema{
	"fluentd": {fields: map[string]string{ // of fluentd's parsers for nginx and apache2
		"remote_addr": "remote", "remote_user": "user", "status": "code", "body_bytes_sent": "size", "http_referer": "referer",
		"http_user_agent": "agent",
	}},
	// The Elastic Common Schema, and Filebeat's names for what it does not have.
	"ecs": {rest: true, bare: true, fields: map[string]string{
		"remote_addr": "source.address", "remote_port": "source.port", "vhost_port": "url.port", "remote_user": "user.name", "vhost": "url.domain", "method": "http.request.method",
		"path": "url.original", "protocol": "http.version", "request": "http.request.line", "status": "http.response.status_code",
		"body_bytes_sent": "http.response.body.bytes", "http_referer": "http.request.referrer", "http_user_agent": "user_agent.original",
		"ssl_protocol": "tls.version", "ssl_cipher": "tls.cipher", "request_length": "http.request.bytes", "bytes_received": "http.request.bytes",
		"bytes_sent": "http.response.bytes", "req_id": "http.request.id", "level": "log.level", "pid": "process.pid", "tid": "process.thread.id",
		"client": "source.address", "client_port": "source.port", "error_code": "error.code", "file": "log.origin.file.name",
		"line": "log.origin.file.line", "http_host": "url.domain", "message": "message",
	}, own: map[string]string{
		"source": "log.file.path", "offset": "log.offset", "truncated": "log.truncated", "parse_error": "error.message", "host": "host.name",
		"image": "container.image.name", "container_id": "container.id", "docker_container": "container.name", "docker_service": "service.name",
		"docker_app": "docker.app", "k8s_pod": "kubernetes.pod.name", "k8s_pod_uid": "kubernetes.pod.uid", "k8s_pod_namespace": "kubernetes.namespace",
		"k8s_node_name": "kubernetes.node.name", "k8s_container_name": "kubernetes.container.name", "swarm_service": "swarm.service",
		"swarm_task": "swarm.task", "swarm_node_id": "swarm.node_id",
	}},
	// OpenTelemetry's semantic conventions.
	"otel": {rest: true, bare: true, fields: map[string]string{
		"remote_addr": "client.address", "remote_port": "client.port", "vhost_port": "server.port", "remote_user": "user.name", "vhost": "server.address", "method": "http.request.method",
		"path": "url.original", "protocol": "network.protocol.version", "request": "http.request.line", "status": "http.response.status_code",
		"body_bytes_sent": "http.response.body.size", "http_referer": "http.request.header.referer", "http_user_agent": "user_agent.original",
		"http_x_forwarded_for": "http.request.header.x-forwarded-for", "ssl_protocol": "tls.protocol.version", "ssl_cipher": "tls.cipher",
		"request_length": "http.request.size", "bytes_received": "http.request.size", "bytes_sent": "http.response.size", "level": "log.level",
		"pid": "process.pid", "tid": "thread.id", "client": "client.address", "client_port": "client.port", "server": "server.address",
		"error_code": "error.type", "file": "code.file.path", "line": "code.line.number", "http_host": "http.request.header.host", "message": "message",
	}, own: map[string]string{
		"source": "log.file.path", "offset": "log.offset", "truncated": "log.truncated", "parse_error": "error.message", "stream": "log.iostream",
		"host": "host.name", "image": "container.image.name", "container_id": "container.id", "docker_container": "container.name",
		"docker_service": "service.name", "docker_app": "docker.app", "k8s_pod": "k8s.pod.name", "k8s_pod_uid": "k8s.pod.uid",
		"k8s_pod_namespace": "k8s.namespace.name", "k8s_node_name": "k8s.node.name", "k8s_container_name": "k8s.container.name",
		"swarm_service": "docker.swarm.service", "swarm_task": "docker.swarm.task", "swarm_node_id": "docker.swarm.node_id",
	}},
}

// schemaOf returns the schema of d's format, which is never nil.
func schemaOf(d declare.Declaration) *schema {
	if s := schemas[d.FormatOptions["schema"]]; s != nil {
		return s
	}
	return &schema{}
}

// field returns the schema's name of a format's field, given nginx's name for it. server precedes fields for which it has no
// name.
func (s *schema) field(server, name string) string {
	if other, ok := s.fields[name]; ok {
		return other
	}
	if s.rest {
		return server + "." + name
	}
	return name
}

// member returns the schema's name of a member of Remora's.
func (s *schema) member(name string) string {
	if other, ok := s.own[name]; ok {
		return other
	}
	return name
}

// servers holds, by format, the name that precedes fields for which a schema has no name.
var servers = map[string]string{"nginx": "nginx", "nginx_error": "nginx", "apache2": "apache", "apache_error": "apache"}

// HasSchemas reports whether a format has the option schema.
func HasSchemas(format string) bool { return servers[format] != "" }

// storeOf returns d's settings of its store. They are valid, because declare has checked them.
func storeOf(d declare.Declaration) record.Store {
	s := record.Store{Project: d.Store["project"]}
	s.Shards, _ = strconv.Atoi(d.Store["shard"])
	s.TTL, _ = strconv.Atoi(d.Store["ttl"])
	return s
}

// NewSource returns the Source for the records of d in the stream key, which is at path.
func NewSource(d declare.Declaration, key, path string, tags, origin []record.Tag) *record.Source {
	s := record.NewSource(key, d.Name, path, d.Target, tags, origin)
	s.Store = storeOf(d)
	if schema := schemaOf(d); schema.own != nil {
		return s.Renamed(schema.member)
	}
	return s
}

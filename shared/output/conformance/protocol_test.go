// SPDX-License-Identifier: Apache-2.0

package conformance

// protocols are the outputs that have a server.
var protocols = []protocol{elasticsearch, kafka, loki, otlp, jsonLines, syslog, redis, logstash, fluentd, splunk, sls, graylog}

// local are those that have none: see local_test.go.
var local = []string{"console", "file", "null"}

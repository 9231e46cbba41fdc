// SPDX-License-Identifier: Apache-2.0

// Package conformance holds only tests. They drive every output through the pipeline against a server that speaks its protocol
// over real connections and misbehaves in every way that servers do.
//
// A further output needs a protocol in protocol_test.go (what its server's answers look like, and which records a request
// holds) or, if it has no server, a place in local_test.go. TestEveryOutputIsHere fails until it has one.
package conformance

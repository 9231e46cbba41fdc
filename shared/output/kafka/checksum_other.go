// SPDX-License-Identifier: Apache-2.0

//go:build !amd64

package kafka

// foldable means that foldWide exists.
const foldable = false

func foldWide(*folded, []byte) {}

// SPDX-License-Identifier: Apache-2.0

//go:build long

package sidecar

import "testing"

func TestLongTwoHundredKills(t *testing.T) { killed(t, 200) }

// SPDX-License-Identifier: Apache-2.0

//go:build long

package sidecar

import "testing"

func TestLongTwoHundredKills(t *testing.T) { killed(t, 200) }

func TestLongThirtyKillsResendOnlyWhatWasInFlight(t *testing.T) { resends(t, 30, 300_000) }

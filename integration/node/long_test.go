// SPDX-License-Identifier: Apache-2.0

//go:build long

// SPDX-License-Identifier: Apache-2.0

package node

import "testing"

func TestLongKilledThirtyTimes(t *testing.T) { killed(t, 30) }

func TestLongThirtyKillsResendOnlyWhatWasInFlight(t *testing.T) { resends(t, 30, 300_000) }

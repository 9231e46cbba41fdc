// SPDX-License-Identifier: Apache-2.0

//go:build long

// SPDX-License-Identifier: Apache-2.0

package node

import "testing"

func TestLongKilledThirtyTimes(t *testing.T) { killed(t, 30) }

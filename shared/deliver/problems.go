// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/telemetry"
)

// Problems returns the problems of a set of declarations as the status shows them. container is empty if the process serves
// only one.
func Problems(set declare.Set, container string) []telemetry.Problem {
	var all []telemetry.Problem
	for _, p := range set.Errors {
		all = append(all, telemetry.Problem{Container: container, Key: p.Key, Message: p.Message})
	}
	for _, p := range set.Warnings {
		all = append(all, telemetry.Problem{Container: container, Key: p.Key, Message: p.Message, Warning: true})
	}
	return all
}

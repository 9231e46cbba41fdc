// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"github.com/remora-logs/remora/shared/tail"
	"github.com/remora-logs/remora/shared/telemetry"
)

// FileMetrics returns the metrics of a way in that follows files. maxDeleted is its limit for the bytes of deleted files.
func FileMetrics(c tail.Counts, maxDeleted int64) []telemetry.Metric {
	return []telemetry.Metric{
		telemetry.Files.Metric(float64(c.Files)), telemetry.FilesOpen.Metric(float64(c.Open)),
		telemetry.FilesHeldBytes.Metric(float64(c.HeldBytes)), telemetry.FilesHeldMaxBytes.Metric(float64(maxDeleted)),
		telemetry.FilesLostBytes.Metric(float64(c.Lost)), telemetry.FilesStarted.Metric(float64(c.Generations)),
		telemetry.FilesRotated.Metric(float64(c.Rotations)), telemetry.FilesCopied.Metric(float64(c.Copies)),
	}
}

// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"log/slog"
	"time"

	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/output/otlp"
	"github.com/remora-logs/remora/shared/telemetry"
)

// metricsExport sends Remora's own metrics as OTEL_METRICS_EXPORTER asks. An export that fails is not retried, because the next
// one supersedes it.
type metricsExport struct {
	to       *otlp.Metrics
	take     func() telemetry.Snapshot
	resource []telemetry.Attribute
	log      *slog.Logger

	exposition telemetry.Exposition
	failing    bool
}

func newMetricsExport(to *otlp.Metrics, o Options, take func() telemetry.Snapshot) *metricsExport {
	host := o.Common.HostName()
	x := &metricsExport{to: to, take: take, log: o.Log, resource: []telemetry.Attribute{{Key: "service.name", Value: to.Service},
		{Key: "service.version", Value: o.Version}, {Key: "service.instance.id", Value: host}, {Key: "host.name", Value: host}}}
	for _, pair := range to.Attributes {
		x.set(pair[0], pair[1])
	}
	return x
}

func (x *metricsExport) set(key, value string) {
	for i := range x.resource {
		if x.resource[i].Key == key {
			x.resource[i].Value = value
			return
		}
	}
	x.resource = append(x.resource, telemetry.Attribute{Key: key, Value: value})
}

// run exports periodically until ctx ends, and then once more.
func (x *metricsExport) run(ctx context.Context) {
	every := time.NewTicker(x.to.Every)
	defer every.Stop()
	defer x.to.Close()
	for {
		select {
		case <-ctx.Done():
			last, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			x.export(last)
			stop()
			return
		case <-every.C:
			x.export(ctx)
		}
	}
}

func (x *metricsExport) export(ctx context.Context) {
	s := x.take()
	err := x.to.Send(ctx, x.exposition.AppendOTLP(nil, &s, x.resource))
	switch {
	case err != nil && ctx.Err() == nil && !x.failing:
		notice.MetricsNotExported.Log(x.log, "error", err)
	case err == nil && x.failing:
		x.log.Info("metrics exported again")
	}
	x.failing = err != nil
}

// SPDX-License-Identifier: Apache-2.0

// Fluentforward is the OpenTelemetry Collector's receiver of the forward protocol, which prints each record it takes as a
// line.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"os"
	"sync"

	"github.com/open-telemetry/opentelemetry-collector-contrib/receiver/fluentforwardreceiver"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"
)

func main() {
	address := flag.String("address", "", "where to listen")
	flag.Parse()
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	next, err := consumer.NewLogs(func(_ context.Context, logs plog.Logs) error {
		mu.Lock()
		defer mu.Unlock()
		for i := range logs.ResourceLogs().Len() {
			scopes := logs.ResourceLogs().At(i).ScopeLogs()
			for j := range scopes.Len() {
				records := scopes.At(j).LogRecords()
				for k := range records.Len() {
					r := records.At(k)
					fields := r.Attributes().AsRaw()
					fields["body"] = r.Body().AsRaw()
					fields["time"] = r.Timestamp().AsTime()
					if err := out.Encode(fields); err != nil {
						log.Fatal(err)
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	factory := fluentforwardreceiver.NewFactory()
	config := factory.CreateDefaultConfig().(*fluentforwardreceiver.Config)
	config.ListenAddress = *address
	r, err := factory.CreateLogs(context.Background(), receiver.Settings{
		ID: component.NewID(factory.Type()), TelemetrySettings: componenttest.NewNopTelemetrySettings(),
	}, config, next)
	if err != nil {
		log.Fatal(err)
	}
	if err := r.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		log.Fatal(err)
	}
	select {}
}

// SPDX-License-Identifier: Apache-2.0

// Lumber is a server of lumberjack, Elastic's own, that prints each event it takes as a line.
package main

import (
	"crypto/tls"
	"encoding/json"
	"flag"
	"log"
	"os"
	"time"

	"github.com/elastic/go-lumber/server"
)

func main() {
	address := flag.String("address", "", "where to listen")
	cert := flag.String("cert", "", "certificate, for TLS")
	key := flag.String("key", "", "key to it")
	slow := flag.Duration("slow", 0, "how long a window takes")
	flag.Parse()
	options := []server.Option{server.V2(true), server.Keepalive(100 * time.Millisecond), server.Timeout(10 * time.Second)}
	if *cert != "" {
		pair, err := tls.LoadX509KeyPair(*cert, *key)
		if err != nil {
			log.Fatal(err)
		}
		options = append(options, server.TLS(&tls.Config{Certificates: []tls.Certificate{pair}}))
	}
	s, err := server.ListenAndServe(*address, options...)
	if err != nil {
		log.Fatal(err)
	}
	out := json.NewEncoder(os.Stdout)
	for batch := range s.ReceiveChan() {
		time.Sleep(*slow)
		for _, event := range batch.Events {
			if err := out.Encode(event); err != nil {
				log.Fatal(err)
			}
		}
		batch.ACK()
	}
}

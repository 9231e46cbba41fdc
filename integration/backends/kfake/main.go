// SPDX-License-Identifier: Apache-2.0

// Command kfake is a Kafka cluster of one broker for integration tests: franz-go's kfake in a process of its own, so that
// it can be killed and measured as a broker would be. It keeps what it is given in -dir, where one is given; make topics
// with -topic if it is to be killed, because those it makes when asked are not on the disk at once.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"
)

type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func main() {
	var topics, users, configs list
	port := flag.Int("port", 9092, "port on 127.0.0.1")
	dir := flag.String("dir", "", "directory to keep state in; none keeps it in memory")
	discard := flag.Bool("discard", false, "throw records away, after checking them and their sequence: a broker of its own, which knows -port and -topic only, for measuring")
	cert := flag.String("cert", "", "certificate, PEM; speaks TLS then")
	key := flag.String("key", "", "key to it, PEM")
	flag.Var(&topics, "topic", "NAME:PARTITIONS, made at start; can be repeated")
	flag.Var(&users, "user", "MECHANISM:USER:PASSWORD; asks for SASL then; can be repeated")
	flag.Var(&configs, "config", "KEY=VALUE of the broker, as message.max.bytes=1000; can be repeated")
	flag.Parse()

	if *discard {
		log.Fatal(runDiscarding(*port, topics))
	}
	options := []kfake.Opt{kfake.NumBrokers(1), kfake.Ports(*port), kfake.AllowAutoTopicCreation(), kfake.DefaultNumPartitions(8)}
	if *dir != "" {
		options = append(options, kfake.DataDir(*dir), kfake.SyncWrites())
	}
	if *cert != "" {
		pair, err := tls.LoadX509KeyPair(*cert, *key)
		if err != nil {
			log.Fatal(err)
		}
		options = append(options, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}))
	}
	for _, t := range topics {
		name, n, err := parseTopic(t)
		if err != nil {
			log.Fatal(err)
		}
		options = append(options, kfake.SeedTopics(int32(n), name))
	}
	for _, u := range users {
		parts := strings.SplitN(u, ":", 3)
		if len(parts) != 3 {
			log.Fatal("-user: want MECHANISM:USER:PASSWORD")
		}
		options = append(options, kfake.EnableSASL(), kfake.Superuser(parts[0], parts[1], parts[2]))
	}
	for _, c := range configs {
		k, v, _ := strings.Cut(c, "=")
		options = append(options, kfake.BrokerConfigs(map[string]string{k: v}))
	}
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		log.Fatal(err)
	}
	defer cluster.Close()
	fmt.Println("kfake listens on", strings.Join(cluster.ListenAddrs(), ","))
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	<-stop
}

// parseTopic reads a topic as -topic has it.
func parseTopic(text string) (name string, partitions int, err error) {
	name, count, _ := strings.Cut(text, ":")
	if partitions, err = strconv.Atoi(count); err != nil || partitions < 1 {
		return "", 0, fmt.Errorf("-topic %s: want NAME:PARTITIONS", text)
	}
	return name, partitions, nil
}

// runDiscarding is the broker that throws records away, with these topics alone, until the process ends.
func runDiscarding(port int, topics []string) error {
	d := &discarding{topics: make(map[string][]*appended)}
	for _, text := range topics {
		name, n, err := parseTopic(text)
		if err != nil {
			return err
		}
		for range n {
			d.topics[name] = append(d.topics[name], &appended{producers: make(map[int64]*history)})
		}
	}
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	return d.serve(l)
}

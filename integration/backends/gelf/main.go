// SPDX-License-Identifier: Apache-2.0

// Gelf prints each GELF message it receives as a line: over UDP by Graylog's own reader for Go, over TCP and HTTP by its
// Message.
package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/Graylog2/go-gelf/gelf"
)

var (
	mu  sync.Mutex
	out = json.NewEncoder(os.Stdout)
)

// emit prints a message: its additional fields without the underscore.
func emit(m *gelf.Message) {
	mu.Lock()
	defer mu.Unlock()
	fields := map[string]any{"message": m.Short, "host": m.Host, "level": m.Level, "time": m.TimeUnix}
	for name, value := range m.Extra {
		fields[strings.TrimPrefix(name, "_")] = value
	}
	if err := out.Encode(fields); err != nil {
		log.Fatal(err)
	}
}

func decode(text []byte) {
	m := new(gelf.Message)
	if err := m.UnmarshalJSON(text); err != nil {
		log.Fatalf("%v: %.300s", err, text)
	}
	emit(m)
}

func main() {
	address := flag.String("address", "", "where to listen")
	protocol := flag.String("protocol", "udp", "udp, tcp or http")
	flag.Parse()
	switch *protocol {
	case "udp":
		r, err := gelf.NewReader(*address)
		if err != nil {
			log.Fatal(err)
		}
		for {
			m, err := r.ReadMessage()
			if err != nil { // of a message some of whose chunks were lost
				log.Print(err)
				continue
			}
			emit(m)
		}
	case "tcp":
		l, err := net.Listen("tcp", *address)
		if err != nil {
			log.Fatal(err)
		}
		for {
			c, err := l.Accept()
			if err != nil {
				log.Fatal(err)
			}
			go func() {
				for in := bufio.NewReaderSize(c, 4<<20); ; {
					text, err := in.ReadBytes(0)
					if err != nil {
						return
					}
					decode(text[:len(text)-1])
				}
			}()
		}
	default:
		log.Fatal(http.ListenAndServe(*address, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			z, err := gzip.NewReader(r.Body)
			if err != nil {
				log.Fatal(err)
			}
			body, err := io.ReadAll(z)
			if err != nil {
				log.Fatal(err)
			}
			for line := range bytes.SplitSeq(body, []byte("\n")) {
				decode(line)
			}
			w.WriteHeader(http.StatusAccepted)
		})))
	}
}

// SPDX-License-Identifier: Apache-2.0

// Sls stands for Alibaba Cloud's Simple Log Service: it checks signatures and decodes groups of logs by the service's own
// SDK for Go, and prints each log it takes as a line.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"

	sls "github.com/aliyun/aliyun-log-go-sdk"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

const keyID, keySecret, region = "remora", "correct-horse", "cn-hangzhou"

func main() {
	address := flag.String("address", "", "where to listen")
	flag.Parse()
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	handler := func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		logs, err := read(r)
		if err != nil {
			log.Print(err)
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"errorCode":"SignatureNotMatch","errorMessage":%q}`, err)
			return
		}
		for _, l := range logs {
			if err := out.Encode(l); err != nil {
				log.Fatal(err)
			}
		}
	}
	log.Fatal(http.ListenAndServe(*address, http.HandlerFunc(handler)))
}

func read(r *http.Request) ([]map[string]string, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if err := check(r, body); err != nil {
		return nil, err
	}
	size, err := strconv.Atoi(r.Header.Get("x-log-bodyrawsize"))
	if err != nil {
		return nil, err
	}
	raw := body
	switch r.Header.Get("x-log-compresstype") {
	case "lz4":
		raw = make([]byte, size)
		if _, err := lz4.UncompressBlock(body, raw); err != nil {
			return nil, err
		}
	case "zstd":
		d, err := zstd.NewReader(nil)
		if err != nil {
			return nil, err
		}
		if raw, err = d.DecodeAll(body, nil); err != nil {
			return nil, err
		}
	}
	var group sls.LogGroup
	if err := group.Unmarshal(raw); err != nil {
		return nil, err
	}
	var all []map[string]string
	for _, l := range group.Logs {
		fields := map[string]string{"__topic__": group.GetTopic(), "__source__": group.GetSource(), "time": fmt.Sprint(l.GetTime()), "nanos": fmt.Sprint(l.GetTimeNs())}
		for _, c := range l.Contents {
			fields[c.GetKey()] = c.GetValue()
		}
		all = append(all, fields)
	}
	return all, nil
}

// check has the SDK sign the request, and compares.
func check(r *http.Request, body []byte) error {
	headers := map[string]string{"Host": r.Host}
	for name := range r.Header {
		if name != "Authorization" && name != "X-Log-Content-Sha256" {
			headers[canonical(name)] = r.Header.Get(name)
		}
	}
	var signer sls.Signer = sls.NewSignerV1(keyID, keySecret)
	if strings.HasPrefix(r.Header.Get("Authorization"), "SLS4") {
		signer = sls.NewSignerV4(keyID, keySecret, region)
	}
	if err := signer.Sign(r.Method, r.URL.RequestURI(), headers, body); err != nil {
		return err
	}
	if got, want := r.Header.Get("Authorization"), headers["Authorization"]; got != want {
		return fmt.Errorf("the signature is %q, the SDK's is %q", got, want)
	}
	return nil
}

// canonical is a header's name as the SDK has it.
func canonical(name string) string {
	lower := strings.ToLower(name)
	switch {
	case strings.HasPrefix(lower, "x-log-"), strings.HasPrefix(lower, "x-acs-"):
		return lower
	case lower == "content-md5":
		return "Content-MD5"
	}
	return name
}

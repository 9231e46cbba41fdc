# make help lists the targets.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
PLUGIN  ?= remora:latest
IMAGE   ?= remora-sidecar:latest
# Certificates of the authorities that the images trust: the build machine's, wherever its system keeps them.
CA_CERTIFICATES ?= $(firstword $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem))
FUZZTIME ?= 30s
CHECKS   ?= 100000

KUBERNETES_VERSION := $(shell awk '$$2 == "k8s.io/kubernetes" {print $$3}' integration/kubernetes/build/go.mod)
KUBERNETES := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/remora/kubernetes-$(KUBERNETES_VERSION:v%=%)
KUBERNETES_LDFLAGS := $(foreach package,component-base/version client-go/pkg/version,-X k8s.io/$(package).gitVersion=$(KUBERNETES_VERSION))

# Where make bench looks for the collectors that it compares Remora with, besides PEERS and PATH.
BENCH_PEERS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/remora/peers

GOBUILD := CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)"
TOOL    := go tool -modfile=tools/go.mod
ENGINE  := hack/engine run
# The race detector is written in C, so that the tests with -race need a C compiler.
NEED_CC := hack/need gcc gcc libc6-dev

.DEFAULT_GOAL := help
.PHONY: help build plugin image demo test lint unit integration test-long test-model test-kubernetes fuzz bench bench-peers bench-code clean FORCE

help: ## lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: bin/remora-driver bin/remora-sidecar ## the two static binaries, in bin/

bin/remora-driver bin/remora-sidecar: bin/remora-%: FORCE
	$(GOBUILD) -o $@ ./$*

plugin: bin/plugin ## the managed plugin $(PLUGIN), in the engine that answers; REPLACE=1 where it exists
ifdef REPLACE
	-docker plugin rm --force $(PLUGIN)
endif
	docker plugin create $(PLUGIN) bin/plugin

# What `docker plugin create` wants to see: config.json beside the root file system.
bin/plugin: bin/remora-driver ca-certificates FORCE
	rm -rf $@ && mkdir -p $@
	cp config.json $@/
	cp -r rootfs $@/
	mkdir -p $@/rootfs/etc/ssl/certs
	cp $(CA_CERTIFICATES) $@/rootfs/etc/ssl/certs/ca-certificates.crt
	cp bin/remora-driver $@/rootfs/

image: bin/image ## the sidecar's image, $(IMAGE), in the engine that answers
	docker build -t $(IMAGE) -f deploy/docker/sidecar.Dockerfile bin/image

bin/image: bin/remora-sidecar ca-certificates FORCE
	rm -rf $@ && mkdir -p $@/state
	cp $(CA_CERTIFICATES) $@/ca-certificates.crt
	cp bin/remora-sidecar $@/

.PHONY: ca-certificates
ca-certificates:
	@test -n "$(CA_CERTIFICATES)" || { echo "no CA certificates found: install the package ca-certificates, or name a file in PEM with CA_CERTIFICATES=" >&2; exit 1; }

demo: bin/plugin bin/image ## both ways of collecting at work on a real engine, in less than two minutes
	go build -C integration -o ../bin/demo ./demo
	$(ENGINE) bin/demo

test: lint unit integration ## everything that a change has to pass

lint: ## gofmt, go vet, staticcheck, and govulncheck where its database can be reached
	hack/lint

unit: ## the tests that need nothing but Go, with the race detector
	$(NEED_CC)
	go test -race ./...

integration: bin/plugin bin/image ## the tests on a real engine and against real backends
	hack/need kcat kcat
	hack/need docker-registry docker-registry
	$(ENGINE) go test -C integration -count=1 -p 1 -timeout 20m $$(cd integration && go list ./... | grep -v /kubernetes)

test-long: bin/plugin bin/image ## the proofs that take long: hundreds of kills, thousands of containers
	hack/need docker-registry docker-registry
	$(ENGINE) go test -C integration -tags long -count=1 -p 1 -timeout 60m -v -run Long ./driver ./sidecar

test-model: ## the model test of the tailer, with CHECKS=100000 seeds
	go test ./shared/tail -run Model -count=1 -timeout 2h -rapid.checks=$(CHECKS)

test-kubernetes: bin/image $(KUBERNETES) ## the sidecar on a real Kubernetes, which is built first; RUN= names the tests
	hack/need etcd etcd-server
	hack/need containerd containerd
	hack/need runc runc
	hack/need /usr/lib/cni/bridge containernetworking-plugins
	hack/need ip iproute2
	REMORA_KUBERNETES=$(KUBERNETES) go test -C integration -count=1 -timeout 30m -v -run '$(RUN)' \
		-exec 'unshare --mount --net --pid --fork --kill-child --mount-proc' ./kubernetes

# Kubernetes' programs, kept in the user's cache. They are moved there together, so that there are all or none.
$(KUBERNETES):
	rm -rf $@.new && mkdir -p $@.new
	CGO_ENABLED=0 go build -C integration/kubernetes/build -trimpath -ldflags '-s -w $(KUBERNETES_LDFLAGS)' -o $@.new/ tool
	mv $@.new $@

fuzz: ## every fuzz test for FUZZTIME=30s
	hack/fuzz $(FUZZTIME)

bench: bin/remora-sidecar bin/plugin ## Remora beside a bare loop and the peers that are installed; BENCH= passes flags
	go build -C integration -o ../bin/bench ./bench
	go build -C integration/backends/kfake -o ../../../bin/kfake .
	bin/bench run $(BENCH)
	$(ENGINE) go test -C integration -tags bench -count=1 -timeout 20m -v ./bench/driver

bench-peers: ## the peers that are Go modules, for make bench: file.d, vlagent, the OpenTelemetry Collector
	go build -C integration/bench/peers/filed -trimpath -ldflags '-s -w' -o $(BENCH_PEERS)/ tool
	go build -C integration/bench/peers/vlagent -trimpath -ldflags '-s -w' -o $(BENCH_PEERS)/ tool
	go build -C integration/bench/peers/otelcol -trimpath -ldflags '-s -w' -o $(BENCH_PEERS)/ .

bench-code: ## the benchmarks of the hot path, with allocations
	go test -run '^$$' -bench . -benchmem ./...

clean: ## what the build left
	rm -rf bin

# make help lists the targets.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
PLUGIN  ?= remora:latest
# PILOT_TYPE=filebeat or fluentd makes the images that give records log-pilot's shape: remora-node:latest-filebeat.
IMAGE   ?= remora-sidecar:latest$(if $(PILOT_TYPE),-$(PILOT_TYPE))
NODE_IMAGE ?= remora-node:latest$(if $(PILOT_TYPE),-$(PILOT_TYPE))
# Certificate authorities that the images trust: those of the build machine.
CA_CERTIFICATES ?= $(firstword $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem))
# Where make release puts what it builds.
RELEASE ?= bin/release
FUZZTIME ?= 30s
CHECKS   ?= 100000
# The release before this one.
PREVIOUS ?= 9700a79

KUBERNETES_VERSION := $(shell awk '$$2 == "k8s.io/kubernetes" {print $$3}' integration/kubernetes/build/go.mod)
KUBERNETES := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/remora/kubernetes-$(KUBERNETES_VERSION:v%=%)
KUBERNETES_LDFLAGS := $(foreach package,component-base/version client-go/pkg/version,-X k8s.io/$(package).gitVersion=$(KUBERNETES_VERSION))

CONTAINERD_VERSION := $(shell awk '$$2 == "github.com/containerd/containerd/v2" {print $$3}' integration/containerd/build/go.mod)
CONTAINERD := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/remora/containerd-$(CONTAINERD_VERSION:v%=%)

# Where make bench looks for peers, besides PEERS and PATH.
BENCH_PEERS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/remora/peers

GOBUILD := CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)"
TOOL    := go tool -modfile=tools/go.mod
ENGINE  := hack/engine run
# The race detector needs a C compiler.
NEED_CC := hack/need gcc gcc libc6-dev

.DEFAULT_GOAL := help
.PHONY: help build plugin image image-node demo test lint unit integration test-long test-web test-model test-upgrade test-kubernetes test-containerd fuzz bench bench-containerd bench-peers bench-correct bench-code clean FORCE

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: bin/remora-driver bin/remora-sidecar bin/remora-node bin/remora-logger ## build the static binaries in bin/

bin/remora-driver bin/remora-sidecar bin/remora-node: bin/remora-%: FORCE
	$(GOBUILD) -o $@ ./$*

bin/remora-logger: FORCE
	$(GOBUILD) -o $@ ./containerd

plugin: bin/plugin ## create the plugin remora:latest in the reachable engine; PLUGIN= names it, REPLACE=1 replaces it
ifdef REPLACE
	-docker plugin rm --force $(PLUGIN)
endif
	docker plugin create $(PLUGIN) bin/plugin

# `docker plugin create` needs config.json beside the root file system.
bin/plugin: bin/remora-driver bin/LICENSES.txt ca-certificates FORCE
	rm -rf $@ && mkdir -p $@
	cp config.json $@/
	cp -r rootfs $@/
	mkdir -p $@/rootfs/etc/ssl/certs
	cp $(CA_CERTIFICATES) $@/rootfs/etc/ssl/certs/ca-certificates.crt
	cp bin/remora-driver LICENSE bin/LICENSES.txt $@/rootfs/

image: bin/image ## build the sidecar's image remora-sidecar:latest in the reachable engine; IMAGE= names it, PILOT_TYPE=filebeat|fluentd makes -filebeat, -fluentd
	docker build --build-arg PILOT_TYPE=$(PILOT_TYPE) -t $(IMAGE) -f deploy/docker/sidecar.Dockerfile bin/image

bin/image: bin/remora-sidecar bin/LICENSES.txt ca-certificates FORCE
	rm -rf $@ && mkdir -p $@/state
	cp $(CA_CERTIFICATES) $@/ca-certificates.crt
	cp bin/remora-sidecar LICENSE bin/LICENSES.txt $@/

image-node: bin/image-node ## build the node agent's image remora-node:latest in the reachable engine; NODE_IMAGE= names it, PILOT_TYPE= as for image
	docker build --build-arg PILOT_TYPE=$(PILOT_TYPE) -t $(NODE_IMAGE) -f deploy/docker/node.Dockerfile bin/image-node

bin/image-node: bin/remora-node bin/LICENSES.txt ca-certificates FORCE
	rm -rf $@ && mkdir -p $@/state $@/pilot
	cp $(CA_CERTIFICATES) $@/ca-certificates.crt
	cp bin/remora-node LICENSE bin/LICENSES.txt $@/
	ln -s ../remora-node $@/pilot/healthz

# The terms of all that is linked in, whatever platform the programs are built for.
bin/LICENSES.txt: FORCE
	mkdir -p bin
	GOOS= GOARCH= go run -C tools ./release/licences/print .. ../$@

.PHONY: release test-release
release: ## build all that VERSION= is published as, for amd64 and arm64, from the commit that is checked out, into bin/release
	$(if $(filter file undefined,$(origin VERSION)),$(error name the version: make release VERSION=1.2.0))
	mkdir -p $(dir $(RELEASE))
	go run -C tools ./release -version $(VERSION) -root .. -out $(abspath $(RELEASE))

test-release: ## build a release twice, install, upgrade and purge its packages, run it on an emulated arm64; takes root
	hack/need qemu-aarch64-static qemu-user-static
	hack/need systemd-analyze systemd
	hack/need rpm rpm
	cd tools && go vet ./release/... && go tool staticcheck ./release/... && go test ./release/...
	$(MAKE) --no-print-directory release VERSION=0.0.2-test RELEASE=bin/release-test
	go test -C integration -tags release -count=1 -timeout 60m -v ./release

.PHONY: soak
soak: bin/plugin build ## let 500 containers come and go for SOAK_TIME=30m by all ways, and compare what is left; SOAK_TIME=3m is the short form
	SOAK_TIME=$(or $(SOAK_TIME),30m) $(ENGINE) go test -C integration -tags soak -count=1 -timeout 90m -v ./soak

.PHONY: ca-certificates
ca-certificates:
	@test -n "$(CA_CERTIFICATES)" || { echo "no CA certificates found: install the package ca-certificates, or set CA_CERTIFICATES= to a PEM file" >&2; exit 1; }

demo: bin/plugin bin/image bin/image-node bin/remora-logger ## show every way in on a real engine, in less than two minutes
	go build -C integration -o ../bin/demo ./demo
	$(ENGINE) bin/demo

test: UNIT = all
test: lint unit integration ## run every test that a change has to pass

lint: ## run gofmt, go vet, staticcheck, and govulncheck if its database can be reached
	hack/lint

unit: ## run the tests that need nothing but Go, with the race detector; UNIT=all tries as much as make test does
	$(NEED_CC)
	hack/unit $(UNIT)
	go test -C tools ./release/licences

integration: bin/plugin bin/image bin/image-node ## run the tests on a real engine and against real backends
	hack/need kcat kcat
	hack/need rsyslogd rsyslog rsyslog-relp rsyslog-gnutls
	hack/unpack bin/syslog-ng syslog-ng-core # conflicts with rsyslog
	hack/need redis-server redis-server
	hack/need npm npm
	hack/need docker-registry docker-registry
	hack/need promtool prometheus
	hack/need containerd containerd runc
	$(ENGINE) hack/integration

test-long: bin/plugin bin/image bin/remora-node ## run the long proofs: hundreds of kills, thousands of containers
	hack/need docker-registry docker-registry
	$(ENGINE) go test -C integration -tags long -count=1 -p 1 -timeout 60m -v -run Long ./driver ./sidecar ./node

test-web: ## drive the status page with a real Chromium: sort, filter, tail, themes, accessibility; IMAGES=1 makes the pictures of the docs
	hack/need npm npm
	hack/need chromium chromium fonts-noto-cjk
	IMAGES=$(IMAGES) go test -C integration -count=1 -timeout 15m -v ./web

test-model: ## run the model test of the tailer with CHECKS=100000 seeds
	go test ./shared/tail -run Model -count=1 -timeout 2h -rapid.checks=$(CHECKS)

test-upgrade: ## try an upgrade from PREVIOUS= and the way back
	mkdir -p bin
	hack/previous-state $(PREVIOUS)

test-kubernetes: bin/image bin/remora-node $(KUBERNETES) ## run the tests on a real Kubernetes, which is built first; RUN= selects tests
	hack/need etcd etcd-server
	hack/need containerd containerd
	hack/need runc runc
	hack/need /usr/lib/cni/bridge containernetworking-plugins
	hack/need ip iproute2
	REMORA_KUBERNETES=$(KUBERNETES) go test -C integration -count=1 -timeout 30m -v -run '$(RUN)' \
		-exec 'unshare --mount --net --pid --fork --kill-child --mount-proc' ./kubernetes

# Kubernetes' programs, kept in the user's cache. One rename puts them there, so that there are all or none.
$(KUBERNETES):
	rm -rf $@.new && mkdir -p $@.new
	CGO_ENABLED=0 go build -C integration/kubernetes/build -trimpath -ldflags '-s -w $(KUBERNETES_LDFLAGS)' -o $@.new/ tool
	mv $@.new $@

test-containerd: $(CONTAINERD) ## run all tests of the containerd logger on Debian's containerd and on containerd 2, which is built first; RUN= selects tests
	hack/need containerd containerd runc
	hack/need mkfs.ext4 e2fsprogs
	for dir in '' $(CONTAINERD); do \
		TEST_CONTAINERD=$$dir TEST_CONTAINERD_TOOLS=$(CONTAINERD) \
		go test -C integration -tags long -count=1 -timeout 40m -v -run '$(RUN)' ./containerd || exit; \
	done

# containerd's programs, and one that starts a container with a terminal, kept like Kubernetes'.
$(CONTAINERD): integration/containerd/build/terminal/main.go
	rm -rf $@.new && mkdir -p $@.new
	CGO_ENABLED=0 go build -C integration/containerd/build -trimpath -ldflags '-s -w' -o $@.new/ tool
	rm -rf $@ && mv $@.new $@

fuzz: ## run every fuzz test for FUZZTIME=30s
	hack/fuzz $(FUZZTIME)

bench: bin/remora-sidecar bin/remora-node bin/plugin ## measure Remora beside a bare loop and the installed peers; BENCH= passes flags
	go build -C integration -o ../bin/bench ./bench
	go build -C integration/backends/kfake -o ../../../bin/kfake .
	bin/bench run $(BENCH)
	$(ENGINE) go test -C integration -tags bench -count=1 -timeout 20m -v ./bench/driver

bench-containerd: bin/plugin ## measure what logging a million lines costs with remora-logger, containerd's file://, json-file and the plugin
	hack/need containerd containerd runc
	nice -n -20 $(ENGINE) go test -C integration -tags bench -count=1 -timeout 20m -v -run MillionLines ./containerd

bench-peers: ## build the peers that are Go modules: file.d, vlagent, the OpenTelemetry Collector
	go build -C integration/bench/peers/filed -trimpath -ldflags '-s -w' -o $(BENCH_PEERS)/ tool
	go build -C integration/bench/peers/vlagent -trimpath -ldflags '-s -w' -o $(BENCH_PEERS)/ tool
	go build -C integration/bench/peers/otelcol -trimpath -ldflags '-s -w' -o $(BENCH_PEERS)/ .

bench-correct: bin/remora-sidecar bin/remora-node bin/remora-driver ## count what Remora and the peers lose and send twice; CORRECT= passes flags
	go build -C integration -o ../bin/correct ./bench/correct
	bin/correct $(CORRECT)

bench-code: ## run the benchmarks of the hot path, with allocations
	go test -run '^$$' -bench . -benchmem ./...

clean: ## remove what was built
	rm -rf bin

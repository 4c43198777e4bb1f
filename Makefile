# chive. `make help` lists the targets.

GO       ?= go
GOFLAGS  ?=
FUZZTIME ?= 20s
SOAKTIME ?= 600
SOAKGIB  ?= 2
BENCH    ?= .
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.DEFAULT_GOAL := help
.PHONY: help build deps demo test lint bench fuzz soak generate clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## bin/chive: one static binary
	CGO_ENABLED=0 $(GO) build $(GOFLAGS) -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/chive ./cmd/chive

deps: ## what the tests run against: Debian's tor, curl, torsocks, nats-server (root installs, others are told)
	@bash $(firstword $(wildcard scripts/deps.sh) .ci/deps)

demo: deps ## private Tor network, chive in front: a download, a live change, killed relays, and why
	$(GO) run ./internal/demo

test: deps ## everything: vet, then all tests with the race detector
	$(GO) vet ./...
	@bash scripts/gotest.sh $(GO) test -race -p 2 -parallel 5 -timeout 19m ./...
	$(GO) test ./tor/path # a million paths, for which the race detector has no time

lint: ## gofumpt, vet, staticcheck, govulncheck
	@unformatted=$$($(GO) tool gofumpt -l .); \
	if [ -n "$$unformatted" ]; then echo "not gofumpt-formatted:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@bash .ci/vulncheck

bench: deps ## chive beside C tor on one private network, then Go benchmarks; BENCH=regexp chooses
	$(GO) run ./internal/bench
	CGO_ENABLED=0 $(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -timeout 30m ./...

fuzz: ## each fuzz target for FUZZTIME (default 20s)
	@grep -rHoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sort | while IFS=: read -r file func; do \
		name=$${func#func }; dir=$$(dirname "$$file"); \
		echo "== $$dir $$name"; \
		$(GO) test "$$dir" -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) || exit 1; \
	done

soak: deps ## SOAKGIB of mixed traffic, outages, onions, faults, and the demo again and again, SOAKTIME seconds each (default 600)
	CHIVE_SOAK=1000 $(GO) test -count=1 -timeout 30m -run TestKilledAtAnyMoment ./bridge/journal
	CHIVE_SOAK_TIME=$(SOAKTIME)s CHIVE_SOAK_GIB=$(SOAKGIB) $(GO) test -race -count=1 -v -timeout 0 -run 'TestSoak$$' ./internal/e2e
	CHIVE_OUTAGE=60s $(GO) test -race -count=1 -v -timeout 20m -run 'TestBackAfterAnOutage$$' ./internal/e2e
	CHIVE_ONION_FLOOD=1 CHIVE_ONION_CHANGES=4 CHIVE_ONION_PERIODS=1 $(GO) test -race -count=1 -v -parallel 2 -timeout 40m -run 'TestOnionPeriods$$|TestOnionFloodOfCTor$$|TestHostingOfflinePeriods$$|TestOnionBalance$$' ./internal/e2e
	CHIVE_SHARE_SCHEDULES=20000 $(GO) test -count=1 -timeout 60m -run 'TestNeverTwoPublishers$$' ./tor/onion/share
	CHIVE_SHARED_FAILOVERS=10 $(GO) test -race -count=1 -v -timeout 60m -run 'TestHostingFailovers$$' ./internal/e2e
	CHIVE_FAULTS=100 $(GO) test -race -count=1 -v -timeout 90m -run 'TestFaultCampaign$$' ./internal/e2e
	$(GO) build -o bin/demo ./internal/demo
	@end=$$(( $$(date +%s) + $(SOAKTIME) )); n=0; \
	while [ $$(date +%s) -lt $$end ]; do \
		n=$$((n + 1)); echo "== run $$n"; ./bin/demo || exit 1; \
	done; echo "== $$n runs, none failed"

generate: ## protobuf code and the generated pages of docs/
	$(GO) generate ./messages ./docs

clean: ## remove what was built
	rm -rf bin

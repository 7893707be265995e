# lbuild: make builds, make check tells whether a change may go in, make demo shows it at work.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

GO      ?= go
TOOLS   := .ci/tools/go.mod
SOURCES := $(shell find . \( -name .git -o -name out -o -name bin \) -prune -o -name '*.go' -print)
# The commit goes into `lbuild version` where git can tell it.
VCS     := $(shell git status --short >/dev/null 2>&1 && echo true || echo false)
# V=-v lists every test. STRICT=0 skips what this machine cannot run instead of failing.
V       ?=
STRICT  ?= 1
GOTEST   = LBUILD_TEST_STRICT=$(STRICT) $(GO) test $(V) -timeout 15m

.PHONY: build
build: bin/lbuild bin/runc ## bin/lbuild, and the runc that it starts beside it

bin/lbuild: $(SOURCES) go.mod go.sum
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=$(VCS) -o $@ ./cmd/lbuild

# The version of runc is pinned in go.mod, as a tool.
bin/runc: go.mod
	@pkg-config --exists libseccomp || { echo "runc needs gcc, pkg-config and libseccomp-dev: make deps" >&2; exit 1; }
	CGO_ENABLED=1 $(GO) build -trimpath -tags seccomp -o $@ github.com/opencontainers/runc
	@touch $@

.PHONY: deps
deps: ## install what building and testing need, on Debian
	@.ci/deps

.PHONY: demo
demo: ## build a real image on a real Debian and show it
	@.ci/demo

.PHONY: test check
test: lint vuln fuzz race integration ## everything that must pass before a change goes in
check: test

.PHONY: quick
quick: ## unit tests alone
	$(GOTEST) ./...

.PHONY: race
race: build
	$(GOTEST) -race ./...
	@# With the race detector these try few mounts and few histories, and leave out what traces system calls.
	$(GOTEST) ./diff/layer ./diff/difftest

.PHONY: integration
integration: build
	cd integration && $(GOTEST) -parallel 4 ./...
	cd integration/differs && $(GOTEST) ./...
	cd bench/compare && $(GOTEST) ./...

.PHONY: differs
differs: ## compare the differs of other builders: docs/differs.md
	cd integration/differs && $(GO) run . ../../docs/differs.md

.PHONY: fuzz
fuzz: ## every fuzz test for a few seconds
	@GO="$(GO)" .ci/fuzz

.PHONY: lint
lint: bin/tools/gofumpt bin/tools/golangci-lint
	@unformatted=$$(bin/tools/gofumpt -l $(SOURCES)); \
	  [ -z "$$unformatted" ] || { echo "gofumpt -w is due in:" $$unformatted >&2; exit 1; }
	bin/tools/golangci-lint run ./...
	cd integration && ../bin/tools/golangci-lint run --config ../.golangci.yml ./...
	cd integration/differs && ../../bin/tools/golangci-lint run --config ../../.golangci.yml ./...
	cd bench/compare && ../../bin/tools/golangci-lint run --config ../../.golangci.yml ./...

.PHONY: vuln
vuln: bin/tools/govulncheck
	@if curl -fsS -m 10 -o /dev/null https://vuln.go.dev/index/db.json 2>/dev/null; \
	  then bin/tools/govulncheck ./...; \
	  else echo "govulncheck: no way to its database from here, not run"; fi

bin/tools/gofumpt: PACKAGE = mvdan.cc/gofumpt
bin/tools/golangci-lint: PACKAGE = github.com/golangci/golangci-lint/v2/cmd/golangci-lint
bin/tools/govulncheck: PACKAGE = golang.org/x/vuln/cmd/govulncheck
bin/tools/%: $(TOOLS)
	CGO_ENABLED=0 $(GO) build -modfile=$(TOOLS) -o $@ $(PACKAGE)
	@touch $@

# BENCH holds flags for lbuild bench: what to measure, and how often. See docs/bench.md.
BENCH ?= --seed 1 --size 64MB --runs 3
.PHONY: bench
bench: bin/lbuild ## how fast layers are packed, and codecs compared: figures and charts in out/bench
	$(GO) test -run '^$$' -bench . -benchmem -timeout 30m ./bench/...
	@mkdir -p out/bench
	bin/lbuild bench --json out/bench/report.json --csv out/bench/runs.csv --plots out/bench $(BENCH)

# COMPARE holds flags for bench/compare; COMPARE="--before PATH" measures an earlier bin/lbuild beside this one. See docs/bench.md.
COMPARE ?=
.PHONY: compare
compare: build ## measure lbuild beside other builders, an hour or two: docs/performance.md
	cd bench/compare && $(GO) run . $(COMPARE)
	$(MAKE) --no-print-directory performance

.PHONY: performance
performance: ## write docs/performance.md from the results that are there
	cd bench/compare && $(GO) run . page ../results/compare ../../docs/performance.md

.PHONY: clean
clean: ## remove what make made; the downloads of the demo too
	rm -rf bin out

.PHONY: help
help:
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

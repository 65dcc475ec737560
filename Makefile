# make demo   the whole story in one process: create, encrypted call, refused plain call
# make test   everything CI runs, on a machine with nothing but make, git and Go; installs Debian packages
# make check  the same without installing anything: needs what `make packages` would install
# make conformance  every operation through every AWS client: prints the matrix and writes it for docs/coverage.md

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
.NOTPARALLEL:
.PHONY: build demo test check packages vet layers unit waiting fuzz fuzz-short interop conformance bench bench-scale generate clean

GO      ?= go
# As the program is built, so are the tests: the one compiled what the other needs, and a clone in another folder did, too.
export GOFLAGS := $(shell $(GO) env GOFLAGS) -trimpath
BINARY  := bin/carillon
FUZZ    ?= 60s

build:
	$(GO) build -trimpath -o $(BINARY) ./cmd/carillon

demo: build
	$(BINARY) demo

test: packages
	@$(MAKE) --no-print-directory check

check: vet layers unit waiting
	@echo "make test: all of it passed"

packages:
	tools/packages.sh

vet:
	@unformatted="$$(git ls-files -co --exclude-standard '*.go' | xargs -r gofmt -l)"; \
	if [ -n "$$unformatted" ]; then echo "gofmt these:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	cd bench && $(GO) vet ./...
	cd interop && $(GO) vet ./...

# The rules of the house come before the long tests: they fail in a second.
layers:
	$(GO) test -vet=off -count=1 .

# The packages that take longest begin, so that none of them is left to run alone at the end. One more than there are cores: some
# wait. What vet has to say it has said, and would look at all dependencies once more as they are built for the race detector.
unit:
	$(GO) test -race -vet=off -shuffle=on -timeout 8m -p $$(($$(nproc) + 1)) ./e2e ./store ./api ./...

fuzz:
	tools/fuzz.sh $(FUZZ)

fuzz-short:
	tools/fuzz.sh 3s . own

# Real clients and phones, in a module of their own. They drive the binary. Most of their time they wait: for speech, a pause, a
# program to start.
interop: build
	cd interop && $(GO) test -vet=off -count=1 -parallel 6 -timeout 8m ./...

# While those wait the processor fuzzes, with the least priority: what they do is timed, and how far a short run gets is not.
waiting: build
	@log="$$(mktemp)"; nice -n 19 $(MAKE) --no-print-directory fuzz-short >"$$log" 2>&1 & fuzz=$$!; \
	trap 'kill $$fuzz 2>/dev/null || true; rm -f "$$log"' EXIT; failed=0; \
	$(MAKE) --no-print-directory interop || failed=1; \
	wait $$fuzz || failed=1; \
	cat "$$log"; exit $$failed

# Without package arguments go test shows what it prints.
conformance: build
	cd interop && $(GO) test -count=1 -run '^TestConformance$$' -update
	$(GO) test ./api -run TestCoverage -update

# That of a million connectors is apart: it needs 8 GB of memory, 5 GB of disk and several minutes.
bench:
	cd bench && $(GO) test -run '^$$' -bench . -benchmem $$($(GO) list ./... | grep -v /scale)

bench-scale:
	cd bench && $(GO) test -run '^$$' -bench . -benchtime 1x -timeout 1h ./scale

# Pages and tables that are made from the code.
generate:
	$(GO) generate ./...
	$(GO) test ./config -run TestDocument -update
	$(GO) test . -run 'TestMap|TestLimits|TestCommands' -update

clean:
	rm -rf bin

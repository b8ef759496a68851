# Dubnium: make help lists the targets.
#
# Everything that is built goes to bin/ and dist/. CGO is off, and the binaries are static; only
# observe-gpu loads the driver's library. Versions are stamped into the binaries.

SHELL := /bin/bash
.DEFAULT_GOAL := help

VERSION ?= 0.1.0
COMMIT ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null)
PREFIX ?= /usr/local
DESTDIR ?=
GO ?= go

export CGO_ENABLED = 0
stamp := github.com/ryjen/dubnium/pkg/version
LDFLAGS := -s -w -X $(stamp).Version=$(VERSION) -X $(stamp).Commit=$(COMMIT)
GOFLAGS_BUILD := -trimpath -buildvcs=false -ldflags '$(LDFLAGS)'
# Without lazy binding it would die before main where there is no driver.
build_gpu := CGO_ENABLED=1 CGO_CFLAGS='-O2 -g -Wno-deprecated-declarations' $(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS) -extldflags=-Wl,-z,lazy'

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build every binary into bin/
	@$(GO) build $(GOFLAGS_BUILD) -o bin/ ./cmd/...
	@$(build_gpu) -o bin/ ./cmd/observe-gpu

.PHONY: run
run: ## Set up, boot a private machine and walk the loop in it (root)
	@scripts/setup run
	@$(MAKE) --no-print-directory stage machine-tree
	@$(GO) run ./tests/loop/cmd/walk

.PHONY: shell
shell: ## Boot a private machine with Dubnium on it and open a shell (root)
	@scripts/setup run
	@$(MAKE) --no-print-directory stage machine-tree
	@$(GO) run ./tests/loop/cmd/walk --shell

.PHONY: test
test: ## Set up and run every check and test (root)
	@scripts/setup test
	@$(MAKE) --no-print-directory lint stage machine-tree machine-kernel
	@scripts/test

.PHONY: lint
lint: ## Formatting, vet, static checks, shell scripts, generated files
	@scripts/lint

.PHONY: machine-tree machine-kernel
machine-tree: # the Debian tree of the machine under test, cached
	@scripts/machine/build-rootfs >/dev/null
machine-kernel: # its kernel for QEMU, cached
	@scripts/machine/build-kernel >/dev/null

.PHONY: bench-memory
bench-memory: ## Measure retrieval on LoCoMo (LOCOMO=FILE)
	@scripts/setup test
	@$(GO) test -run '^$$' -bench LoCoMo -benchtime 1x -timeout 60m ./tests/locomo -args -data "$(abspath $(LOCOMO))" -ablate

.PHONY: bench-memory-scale
bench-memory-scale: ## Measure the memory service at 1k and 100k memories, by hand and next to a peer (ARGS=--sizes=1000000)
	@scripts/setup test
	@tests/memorybench/setup
	@$(GO) run ./tests/memorybench $(ARGS)

.PHONY: generate units man
generate: ## Write everything that is generated: guards' list and mains, units, man pages, documentation
	@$(GO) run ./cmd/generate-docs --output . # the list of the guards, where it has changed
	@$(GO) run ./cmd/generate-docs --output .
	@$(GO) run ./cmd/generate-units --output units
units: ## Render the systemd units into units/
	@$(GO) run ./cmd/generate-units --output units
man: ## Render the man pages and completions into docs/
	@$(GO) run ./cmd/generate-docs --output .

.PHONY: bench
bench: ## Measure: processes against the shell commands for the same facts, guards, the controller (root)
	@scripts/setup test
	@$(MAKE) --no-print-directory stage machine-tree
	@scripts/bench

.PHONY: sizes
sizes: build ## Sizes of the binaries
	@stat -c '%s %n' bin/* | sort -n | awk '{printf "%6.2f MB  %s\n", $$1 / 1e6, substr($$2, 5)}'

.PHONY: stage install uninstall
stage: build ## Lay out what would be installed below dist/root
	@scripts/install stage dist/root "/usr"
	@$(GO) build $(GOFLAGS_BUILD) -o dist/stand-ins/var/lib/vllm/venv/bin/vllm ./tests/fakes/vllm
install: build ## Install on this machine (root; PREFIX=/usr/local, DESTDIR for packagers)
	@scripts/install install "$(DESTDIR)/" "$(PREFIX)"
uninstall: ## Remove what make install installed; configuration and history stay
	@scripts/install uninstall "$(DESTDIR)/" "$(PREFIX)"

.PHONY: clean
clean: ## Remove bin/ and dist/
	@rm -rf bin dist

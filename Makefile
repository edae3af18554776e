# Two commands do everything on a machine with a Rust toolchain: `make demo` and `make test`.
CARGO ?= cargo
BINARY = target/release/lastlight

.PHONY: help build demo demo-php test unit interleave e2e lint tidy fuzz bench soak clean

help: ## What can be made
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

build: ## The release binary
	$(CARGO) build --release --package lastlight

demo: build ## Shows the traces of a small instrumented web program, no account needed
	demo/run $(BINARY)

demo-php: ## Shows the traces of a PHP-FPM pool with the extension, in each mode of its sidecar
	e2e/setup-php
	demo/php/run e2e/.deps/php

test: ## Everything CI checks: lints, unit tests, interleavings, real clients, a short fuzz run
	tests/run

unit: ## Unit and property tests only
	$(CARGO) test --workspace --exclude lastlight-e2e

interleave: ## The receipt, the stack and what is of one process under every interleaving (loom, shuttle)
	RUSTFLAGS="--cfg loom" $(CARGO) test --target-dir target/loom --package lastlight-model --package lastlight-sidecar --lib
	RUSTFLAGS="--cfg shuttle" $(CARGO) test --target-dir target/shuttle --package lastlight-lifecycle --lib

e2e: build ## Real tracers against a scripted backend
	e2e/setup
	e2e/setup-php
	LASTLIGHT_BIN=$(CURDIR)/$(BINARY) $(CARGO) test --package lastlight-e2e

soak: build ## The long runs: 100 stops out of 100, 20 s of a bad backend
	e2e/setup
	e2e/setup-php
	LASTLIGHT_BIN=$(CURDIR)/$(BINARY) LASTLIGHT_E2E_FULL=1 $(CARGO) test --package lastlight-e2e

lint: ## Formatting, clippy, tidy
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- --deny warnings
	$(CARGO) xtask tidy

tidy: ## What must always be true of the tree
	$(CARGO) xtask tidy

fuzz: ## Every decoder, SECONDS each (default 60)
	fuzz/run $(or $(SECONDS),60)

bench: build ## Side by side with the mini agent, rotel and a bare server; writes bench/results.*
	bench/run $(BINARY)

clean: ## Everything built or downloaded
	$(CARGO) clean
	rm -rf e2e/.deps bench/.deps demo/.venv

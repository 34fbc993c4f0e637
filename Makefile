# The tasks of this repository. `make help` lists them.

CARGO ?= cargo
# What only later builds would use takes as much space as all the rest.
export CARGO_INCREMENTAL ?= 0
PROGRAMS := -p wombat-daemon -p wombat-dispatcher -p wombat-heartbeat -p wombat-standup -p wombat-mission-control
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
# The target `postgres` is the tests of the reference backend once more: built only where there is a server.
TESTS := $(if $(or $(ARGS),$(WOMBAT_TEST_ALL),$(wildcard /usr/lib/postgresql/*/bin/initdb)),--tests,--test it)
# There are no examples in documentation comments, which rustdoc would have to read every package for.
RUNNER := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo "nextest run --no-fail-fast" || echo "test --no-fail-fast --lib --bins $(TESTS)")

# xtask and the programs that it starts, and nothing else. One command must build them all: by itself, each
# package would get builds of the dependencies with features of its own.
DEMO := wombat-mission-control wombat-daemon wombat-dispatcher xtask

# The tests use the recordings that `make recordings` downloads, when they exist.
RECORDINGS := $(TARGET_DIR)/recordings/answers.jsonl
ifneq ($(wildcard $(RECORDINGS)),)
export WOMBAT_TEST_RECORDINGS ?= $(abspath $(RECORDINGS))
endif

.PHONY: help demo test lint audit bench count chaos fuzz attacks security contract screenshots recordings run dispatcher heartbeat standup backend dist deb package-check clean prerequisites

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

prerequisites:
	@command -v $(CARGO) >/dev/null || { echo "cargo is missing: install Rust 1.95 or newer from https://rustup.rs"; exit 1; }
	@command -v cc >/dev/null || { echo "a C compiler is missing: apt-get install gcc"; exit 1; }

demo: prerequisites ## Build and start everything with the example workspace, and show a full round trip (MODEL=local: with a small real model)
	@echo "Building the programs; the first time this takes some minutes …"
	@$(CARGO) build --bins $(DEMO:%=-p %)
	@$(TARGET_DIR)/debug/xtask demo $(if $(MODEL),--model $(MODEL))

# A test builds the programs that it starts when they are missing or stale. Building them all beforehand, in one
# go with the tests, keeps the tests from waiting for that, and both cores busy.
test: prerequisites ## Run all tests, and list the skipped ones with their reasons (ARGS="-p e2e streams" runs a part)
	$(if $(ARGS),,$(CARGO) build --workspace --lib --bins $(TESTS))
	@scripts/test.sh $(CARGO) $(RUNNER) $(or $(ARGS),--workspace)

lint: prerequisites ## Formatting, clippy, documentation, dependency rules
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check bans licenses sources; \
	else echo "skipped: cargo-deny is not installed (cargo install cargo-deny --locked)"; fi

audit: prerequisites ## Check dependencies for known vulnerabilities; fetches the RustSec database from GitHub
	$(CARGO) deny check advisories

bench: prerequisites ## Run the benchmarks and write docs/BENCHMARKS.md (ARGS="floor peers" runs only those)
	$(CARGO) build --release --quiet -p bench $(PROGRAMS)
	@$(TARGET_DIR)/release/bench report $(ARGS)

count: prerequisites ## Count the daemon's instructions and compare them with bench/counts.json (ARGS=--write updates it)
	@command -v valgrind >/dev/null || { echo "valgrind is missing: apt-get install valgrind"; exit 1; }
	$(CARGO) build --release --quiet -p wombat-daemon
	$(CARGO) build --quiet -p bench
	@$(TARGET_DIR)/debug/bench count $(TARGET_DIR)/release/wombat-daemon $(ARGS)

chaos: prerequisites ## Deliver notifications while programs are killed at random (ARGS="--seed 1 --notifications 20000 --sessions 500")
	$(CARGO) build --release --quiet --bins $(DEMO:%=-p %)
	@$(TARGET_DIR)/release/xtask chaos $(ARGS)

fuzz: prerequisites ## Fuzz every parser (ARGS="300 answers": seconds per target, targets)
	@scripts/fuzz.sh $(ARGS)

attacks: prerequisites ## Eight attackers against the real programs, with a model that obeys everything (docs/SECURITY.md)
	$(CARGO) build --release --quiet -p wombat-daemon -p wombat-dispatcher -p wombat-mission-control
	@python3 security/attackers --bin $(TARGET_DIR)/release $(ARGS)

security: attacks ## The same, and prompt injections of AgentDojo injections and a model that always obeys them, against the real daemon (docs/SECURITY.md)
	@$(or $(WOMBAT_TEST_AGENTDOJO),python3) -c 'import agentdojo, aib, jwt' 2>/dev/null || { echo "AgentDojo is missing: pip install -r security/requirements.txt, and name that Python in WOMBAT_TEST_AGENTDOJO"; exit 1; }
	$(or $(WOMBAT_TEST_AGENTDOJO),python3) security/run.py --daemon $(TARGET_DIR)/release/wombat-daemon

contract: prerequisites ## Regenerate docs/contract.openapi.json from the types
	$(CARGO) run --quiet -p wombat-mission-control -- contract > docs/contract.openapi.json

screenshots: prerequisites ## Take the README's screenshots (needs chromium and chromium-driver)
	$(CARGO) build --quiet --bins $(DEMO:%=-p %)
	$(TARGET_DIR)/debug/xtask screenshots

recordings: ## Download recorded responses of real providers for the tests (docs/PROVIDERS.md)
	@python3 -c 'import yaml' 2>/dev/null || { echo "PyYAML is missing: pip install pyyaml"; exit 1; }
	python3 scripts/recordings.py $(RECORDINGS)

run: prerequisites ## Start the daemon (settings: docs/CONFIGURATION.md)
	$(CARGO) run -p wombat-daemon

dispatcher: prerequisites ## Start the dispatcher
	$(CARGO) run -p wombat-dispatcher

backend: prerequisites ## Start the reference backend
	$(CARGO) run -p wombat-mission-control

heartbeat: prerequisites ## Run a heartbeat: USER_ID=… AGENT_ROLE=… make heartbeat
	$(CARGO) run --quiet -p wombat-heartbeat

standup: prerequisites ## Print the standup: STANDUP_TIMEZONE=UTC make standup
	$(CARGO) run --quiet -p wombat-standup

dist: prerequisites ## Build static programs for Linux and pack them with documentation and units into dist (ARGS="--target aarch64-unknown-linux-musl")
	@scripts/dist.sh $(ARGS)

deb: prerequisites ## Build the Debian package (needs cargo-deb)
	@scripts/deb.sh $(ARGS)

package-check: prerequisites ## Check archive, Debian package and systemd units, built with a fast profile
	@scripts/package-check.sh $(ARGS)

clean: ## Remove build output and the demo's data
	$(CARGO) clean
	rm -rf data dist

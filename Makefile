# Everything a person does with this repository. `make help` lists it.

CARGO ?= cargo
PROGRAMS := -p wombat-daemon -p wombat-dispatcher -p wombat-heartbeat -p wombat-standup -p wombat-mission-control
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
RUNNER := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo "nextest run --no-fail-fast" || echo "test --no-fail-fast")

# What `make recordings` collects is used by the tests where it is there.
RECORDINGS := $(TARGET_DIR)/recordings/answers.jsonl
ifneq ($(wildcard $(RECORDINGS)),)
export WOMBAT_TEST_RECORDINGS ?= $(abspath $(RECORDINGS))
endif

.PHONY: help demo test lint audit bench count chaos fuzz security contract screenshots recordings run dispatcher heartbeat standup backend dist deb package-check clean prerequisites

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

prerequisites:
	@command -v $(CARGO) >/dev/null || { echo "cargo is missing: install Rust 1.95 or newer from https://rustup.rs"; exit 1; }
	@command -v cc >/dev/null || { echo "a C compiler is missing: apt-get install gcc"; exit 1; }

demo: prerequisites ## Build, start everything with the example workspace, show a whole round trip
	@echo "Building the programs; the first time this takes some minutes …"
	@$(CARGO) build --workspace --bins
	@$(CARGO) run --quiet -p xtask -- demo

test: prerequisites ## Run everything that must pass
	$(CARGO) build --workspace --bins
	$(CARGO) $(RUNNER) --workspace

lint: prerequisites ## Formatting, clippy, documentation, dependency rules
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check bans licenses sources; \
	else echo "skipped: cargo-deny is not installed (cargo install cargo-deny --locked)"; fi

audit: prerequisites ## Known vulnerabilities of dependencies; fetches the RustSec database from GitHub
	$(CARGO) deny check advisories

bench: prerequisites ## Time what is to be fast, and write docs/BENCHMARKS.md (ARGS="floor peers" runs only those)
	$(CARGO) build --release --quiet -p bench $(PROGRAMS)
	@$(TARGET_DIR)/release/bench report $(ARGS)

count: prerequisites ## Count instructions of the daemon and compare them with bench/counts.json (ARGS=--write keeps them)
	@command -v valgrind >/dev/null || { echo "valgrind is missing: apt-get install valgrind"; exit 1; }
	$(CARGO) build --release --quiet -p wombat-daemon
	$(CARGO) build --quiet -p bench
	@$(TARGET_DIR)/debug/bench count $(TARGET_DIR)/release/wombat-daemon $(ARGS)

chaos: prerequisites ## Deliver notifications while everything is killed at random (ARGS="--seed 1 --notifications 20000 --sessions 500")
	$(CARGO) build --release --quiet -p wombat-mission-control -p wombat-daemon -p wombat-dispatcher
	@$(CARGO) run --release --quiet -p xtask -- chaos $(ARGS)

fuzz: prerequisites ## Feed every parser with nonsense (ARGS="300 answers": seconds for each target, which)
	@scripts/fuzz.sh $(ARGS)

security: prerequisites ## A model that always obeys injections, against what the daemon enforces (docs/SECURITY.md)
	@$(or $(WOMBAT_TEST_AGENTDOJO),python3) -c 'import agentdojo, aib, jwt' 2>/dev/null || { echo "AgentDojo is missing: pip install -r security/requirements.txt, and name that Python in WOMBAT_TEST_AGENTDOJO"; exit 1; }
	$(CARGO) build --release --quiet -p wombat-daemon
	$(or $(WOMBAT_TEST_AGENTDOJO),python3) security/run.py --daemon $(TARGET_DIR)/release/wombat-daemon

contract: prerequisites ## Write docs/contract.openapi.json anew from the types
	$(CARGO) run --quiet -p wombat-mission-control -- contract > docs/contract.openapi.json

screenshots: prerequisites ## Take the pictures of the README (needs chromium and chromium-driver)
	$(CARGO) build --quiet --workspace --bins
	$(CARGO) run --quiet -p xtask -- screenshots

recordings: ## Collect recorded answers of real providers for the tests (docs/PROVIDERS.md)
	@python3 -c 'import yaml' 2>/dev/null || { echo "PyYAML is missing: pip install pyyaml"; exit 1; }
	python3 scripts/recordings.py $(RECORDINGS)

run: prerequisites ## Start the daemon (settings: docs/CONFIGURATION.md)
	$(CARGO) run -p wombat-daemon

dispatcher: prerequisites ## Start the dispatcher
	$(CARGO) run -p wombat-dispatcher

backend: prerequisites ## Start the reference backend
	$(CARGO) run -p wombat-mission-control

heartbeat: prerequisites ## Wake an agent: USER_ID=… AGENT_ROLE=… make heartbeat
	$(CARGO) run --quiet -p wombat-heartbeat

standup: prerequisites ## Print the day: STANDUP_TIMEZONE=UTC make standup
	$(CARGO) run --quiet -p wombat-standup

dist: prerequisites ## Static programs for Linux and all that belongs to them, as an archive in dist (ARGS="--target aarch64-unknown-linux-musl")
	@scripts/dist.sh $(ARGS)

deb: prerequisites ## The same as a Debian package (needs cargo-deb)
	@scripts/deb.sh $(ARGS)

package-check: prerequisites ## Build archive and package quickly and check them, and the systemd units
	@scripts/package-check.sh $(ARGS)

clean: ## Remove what was built and the demo's data
	$(CARGO) clean
	rm -rf data dist

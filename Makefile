# Short targets; the work is in cargo and in deploy/local.
CARGO ?= cargo
# A cache outside the checkout keeps repeats in minutes.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/trinity/target

# Where benchmarks leave their figures.
RESULTS ?= docs/plots

.PHONY: help build demo release bench bench-w1 bench-live bench-cost bench-peers bench-latency plots differential differential-record fuzz simulate defects test check fmt packages torture soak faketime
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

packages: ## what a fresh Debian machine lacks: a C toolchain for the Kafka client and SQLite
	@command -v cc >/dev/null && command -v make >/dev/null && command -v pkg-config >/dev/null && [ -e /usr/include/zlib.h ] || \
	  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends build-essential pkg-config zlib1g-dev; }

build: packages ## the binary `trinity`
	$(CARGO) build -p trinity-api

demo: packages ## see it work: devices replay a recorded day over MQTT, every message is executed once
	$(CARGO) build --release -p trinity-api
	$(CARGO_TARGET_DIR)/release/trinity demo

release: packages ## the optimised binary
	$(CARGO) build --release -p trinity-api

# All parts of the benchmarks, in order: each is a target bench-NAME.
BENCHES = w1 live cost latency peers
bench: packages ## all benchmarks one after the other; then the plots
	$(CARGO) build --release -p trinity-benches -p trinity-api
	@begun=$$(date +%s); failed=; for part in $(BENCHES); do \
	  echo "== bench-$$part, $$(( $$(date +%s) - begun )) s after the beginning"; \
	  $(MAKE) --no-print-directory bench-$$part || failed="$$failed $$part"; \
	done; $(MAKE) --no-print-directory plots; \
	echo "== all of it took $$(( $$(date +%s) - begun )) s$${failed:+; these failed:$$failed}"; [ -z "$$failed" ]

bench-w1: packages ## the reference workflow in-process and from Kafka: rate, CPU of each execution, where the time goes
	$(CARGO) build --release -p trinity-benches -p trinity-api
	deploy/local/services start
	eval "$$(deploy/local/services env)" && $(CARGO_TARGET_DIR)/release/trinity-bench; status=$$?; deploy/local/services stop; exit $$status

LIVE ?= 1000000
bench-live: packages ## executions that wait (LIVE=1000000): memory, restart after kill -9, late timers, an update; an idle node
	$(CARGO) build --release -p trinity-benches -p trinity-api
	$(CARGO_TARGET_DIR)/release/trinity-live $(LIVE)

STORED ?= 10000000
bench-cost: packages ## the cost of an execution with ever more stored (STORED=10000000) and ever more workflows, and of look-ups
	$(CARGO) build --release -p trinity-benches -p trinity-api
	@mkdir -p $(RESULTS)
	$(CARGO_TARGET_DIR)/release/trinity-cost $(STORED) $(RESULTS)/cost.json

SECONDS_EACH ?= 15
bench-peers: packages ## other engines on the same work in the same run: Restate, Kafka Streams, Celery; installs them into a cache
	$(CARGO) build --release -p trinity-benches -p trinity-api
	@mkdir -p $(RESULTS)
	benches/peers/run $(CARGO_TARGET_DIR)/release/trinity-peers $(SECONDS_EACH) $(RESULTS)/peers.json

bench-latency: packages ## latencies over MQTT, Kafka and HTTP, and the plot of latency against load
	$(CARGO) build --release -p trinity-benches -p trinity-api
	deploy/local/services stop mosquitto
	MQTT_AUTOSAVE=1800 deploy/local/services start
	eval "$$(deploy/local/services env)" && SECONDS_EACH=$(SECONDS_EACH) benches/latency; status=$$?; deploy/local/services stop; exit $$status

plots: ## draws the figures of benchmarks (RESULTS=docs/plots) as SVGs beside them
	benches/plots.py $(RESULTS)

PAIRS ?= 100000
SEED ?= 1
DIFFERENTIAL = $(CARGO) test -p trinity-engine --test differential
differential: ## generated expressions against a real jq 1.8.2: JQ=/path/to/jq PAIRS=100000 SEED=1
	JQ=$(JQ) PAIRS=$(PAIRS) SEED=$(SEED) $(DIFFERENTIAL) generated -- --ignored --nocapture
differential-record: # what jq answers, for the tests that need none: JQ=/path/to/jq
	JQ=$(JQ) $(DIFFERENTIAL) record -- --ignored

FUZZ_SECONDS ?= 300
fuzz: ## both fuzzers, one after the other, FUZZ_SECONDS=300 each; needs cargo-fuzz
	cd fuzz && for target in expressions json; do \
	  mkdir -p $(CARGO_TARGET_DIR)/corpus/$$target; \
	  RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run $$target $(CARGO_TARGET_DIR)/corpus/$$target corpus/$$target -- \
	    -max_total_time=$(FUZZ_SECONDS) || exit 1; done

SEEDS ?= 10000
SIMULATION = $(CARGO) test --release -p trinity-actors --test simulation
simulate: packages ## seeds of the simulator on all cores: SEEDS=10000 FROM=0 THREADS=n; or one with all that happens: SEED=n LOG=file
	SIMULATION_SEEDS=$(SEEDS) SIMULATION_FROM=$(FROM) SIMULATION_THREADS=$(THREADS) SIMULATION_SEED=$(SEED) \
	  SIMULATION_LOG=$(LOG) SIMULATION_LOGS=$(LOGS) SIMULATION_DEFECT=$(DEFECT) $(SIMULATION) no_seed -- --nocapture
defects: packages ## how soon the simulator finds each deliberate defect
	$(SIMULATION) deliberate -- --nocapture

KILLS ?= 1000
torture: packages ## kill a node 1,000 times under load (KILLS=, TORTURE_SEED=), and take its brokers away for minutes
	deploy/local/services start
	eval "$$(deploy/local/services env)" && TORTURE_KILLS=$(KILLS) TORTURE_PLOT=$(CURDIR)/docs/plots/torture.svg \
	  $(CARGO) test --release -p trinity-api --test faults -- --ignored --nocapture --test-threads 1 a_thousand_kills for_minutes; \
	  status=$$?; deploy/local/services stop; exit $$status

MINUTES ?= 30
soak: packages ## a node at 70 % of what it can, for 30 minutes (MINUTES=, SOAK_RATE=): memory, latency and disk stay flat
	SOAK_MINUTES=$(MINUTES) SOAK_CSV=$(CURDIR)/docs/plots/soak.csv SOAK_PLOT=$(CURDIR)/docs/plots/soak.svg \
	  $(CARGO) test --release -p trinity-api --test faults -- --ignored --nocapture stay_flat_for_long

faketime: # lies to a node about the time
	@ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || \
	  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends libfaketime; }

test: packages faketime ## every test, on a real Mosquitto and a real Kafka
	deploy/local/services start
	eval "$$(deploy/local/services env)" && $(CARGO) test --workspace; status=$$?; deploy/local/services stop; exit $$status

check: ## what CI looks at first: format, lints, documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps

fmt: ## format the sources
	$(CARGO) fmt --all

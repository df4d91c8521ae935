# Short targets; the work is in cargo and in deploy/local.
CARGO ?= cargo
# A cache outside the checkout keeps repeats in minutes.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/trinity/target

.PHONY: help test check fmt
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

test: ## every test, on real servers where a test needs one
	$(CARGO) test --workspace

check: ## what CI looks at first: format, lints, documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps

fmt: ## format the sources
	$(CARGO) fmt --all

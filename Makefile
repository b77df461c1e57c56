.DEFAULT_GOAL := help
.PHONY: help dev test conformance fuzz

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# A debug build: it is built sooner, and one job with a few watchers asks for no more.
dev: ## Start NATS, the gateway and a demo job on this machine; Ctrl-C stops all of it
	cargo run -- dev

test: ## Check format and lints, run all tests (installs what they need)
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	tests/clients/prepare
	cargo test

# Not part of test: its cases count in seconds, which a busy machine does not keep.
conformance: ## Run the Autobahn test-suite against the WebSocket (installs it)
	tests/conformance/run

# On stable Rust: without a sanitizer, which memory-safe code needs least. What it finds new is in
# fuzz/found, what broke in fuzz/artifacts; inputs worth keeping are moved to fuzz/corpus by hand.
MINUTES ?= 10
FUZZ_TARGETS = client_messages names tokens cursors stored_events publishing
fuzz: ## Fuzz everything that reads bytes from outside, MINUTES=10 each (needs cargo-fuzz)
	@cargo fuzz --version >/dev/null || { echo "install it first: cargo install cargo-fuzz" >&2; exit 1; }
	for target in $(FUZZ_TARGETS); do \
	  mkdir -p fuzz/found/$$target && \
	  cargo fuzz run --sanitizer none $$target fuzz/found/$$target fuzz/corpus/$$target -- \
	    -max_total_time=$$(( $(MINUTES) * 60 )) -max_len=4096 || exit 1; \
	done

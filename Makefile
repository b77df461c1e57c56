.DEFAULT_GOAL := help
.PHONY: help dev test chaos

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# A debug build: it is built sooner, and one job with a few watchers asks for no more.
dev: ## Start NATS, the gateway and a demo job on this machine; Ctrl-C stops all of it
	cargo run -- dev

test: ## Check format and lints, run all tests (installs what they need)
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	tests/clients/prepare
	cargo test
	tests/descriptions/check

# One after the other: each of them uses the whole machine.
chaos: ## Inject faults for five minutes each and write the figures to docs/reliability.md
	JOBWIRE_CHAOS=long cargo test --release --test reliability -- --nocapture --test-threads=1 faults::$(FAULT)

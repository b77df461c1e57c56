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

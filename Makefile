.DEFAULT_GOAL := help
.PHONY: help dev test

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# A debug build: one job and a few watchers do not need more, and it is ready in half the time.
dev: ## Start NATS, the gateway and a demo job on this machine; Ctrl-C stops all of it
	cargo run -- dev

test: ## Check format and lints, run all tests (needs no installed NATS server)
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo test

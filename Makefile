.DEFAULT_GOAL := help
.PHONY: help dev test chaos supply-chain sbom

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
	tests/descriptions/check

# These two: cargo install --locked cargo-deny cargo-cyclonedx
#
# Two commands: without a way to the advisories the second one fails, and the first has still told.
supply-chain: ## Check licences, versions, sources and known holes of what is used (needs cargo-deny)
	cargo deny --locked check bans licenses sources
	cargo deny --locked check advisories

sbom: ## Write what the program is built from to target/jobwire.cdx.json (needs cargo-cyclonedx)
	cargo cyclonedx --quiet --format json --spec-version 1.5 --override-filename jobwire.cdx
	mkdir -p target
	mv jobwire.cdx.json target/

# One after the other: each of them uses the whole machine.
chaos: ## Inject faults for five minutes each and write the figures to docs/reliability.md
	JOBWIRE_CHAOS=long cargo test --release --test reliability -- --nocapture --test-threads=1 faults::$(FAULT)

.DEFAULT_GOAL := help
.PHONY: help dev test chart typescript python page observability docs scenarios scaling hot-path conformance fuzz \
  supply-chain sbom chaos

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# A debug build: it is built sooner, and one job with a few watchers asks for no more.
dev: ## Start NATS, the gateway and a demo job on this machine; Ctrl-C stops all of it
	cargo run -- dev

test: ## Check format and lints, run all tests (installs what they need)
	cargo fmt --check
	cargo clippy --all-targets --test checker --test soak -- -D warnings
	tests/prepare
	cargo test
	tests/descriptions/check
	cargo build
	benches/hot_path/check
	$(MAKE) --jobs=3 --output-sync=target chart typescript python page observability docs scenarios scaling

# These try what `cargo build` has built.
chart: ## Check the Helm chart, the Dockerfile and compose.yaml (installs what that needs)
	tests/with_programs helm/check

typescript: ## Check the TypeScript client (installs what that needs)
	tests/with_programs clients/typescript/check

page: ## Check that the page is built from its sources, and try it (installs what that needs)
	tests/with_programs clients/page/check

python: ## Check the Python client (installs what that needs)
	tests/with_programs clients/python/check

observability: ## Check dashboards and alerts against a real Prometheus (installs what that needs)
	tests/with_programs grafana/check

docs: ## Check the documents by doing what they say (installs what that needs)
	tests/with_programs docs/check

scenarios: ## Play the same scenarios to every client, through a proxy with faults (installs what that needs)
	tests/with_programs tests/scenarios/check

# Needs nothing that was built.
scaling: ## Check the cost model, its simulation and the tables of docs/scaling.md
	benches/scaling/check

hot-path: ## Count the instructions of a delivery (needs valgrind, which tests/prepare installs)
	benches/hot_path/check

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
	cargo test --features shuttle --lib window::races
	JOBWIRE_SIMULATED_WORLDS=10000 cargo test --release --lib simulation
	JOBWIRE_CHAOS=long cargo test --release --test end_to_end -- --nocapture hostile::crowd
	JOBWIRE_CHAOS=long cargo test --release --test reliability -- --nocapture --test-threads=1 faults::$(FAULT)

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

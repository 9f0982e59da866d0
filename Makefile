# What can be done with this checkout; `make` or `make help` lists it. docs/development.md tells more.

.DEFAULT_GOAL := help
.PHONY: help demo down test test-faults hunt check format lint docs generated generate audit

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Start a Kubernetes, install Keyslot, form a cluster, write and read data
	@e2e/scripts/demo.sh

down: ## End the local Kubernetes with everything in it
	@cargo run --quiet --bin local-kubernetes -- down

test: ## All tests, one summary; TIERS=code, e2e or faults, STORY=name choose some
	@e2e/scripts/test.sh

test-faults: ## A fault at every request of the operator, on played nodes; ARGS="sample" and the like are its commands
	@cargo run --quiet --bin local-kubernetes -- images redis-7.0
	@cargo run --quiet --bin keyslot-faults -- $(or $(ARGS),all)

hunt: ## Many random worlds for the planner; MINUTES=5, or SEED=number for one round again
	@MINUTES=$(MINUTES) SEED=$(SEED) .ci/hunt

# The fuzz targets are a workspace of their own, without a lock of their own: they get the versions of this one, so that
# what was compiled for it is used again. They are judged, not run, so libFuzzer itself is not built.
FUZZ = crates/redis-admin/fuzz

$(FUZZ)/Cargo.lock: Cargo.lock
	@cp $< $@

check: format lint docs generated audit ## All that can be judged without running it
	@echo "check: all is well"

format: ## Is everything formatted?
	cargo fmt --all --check

lint: $(FUZZ)/Cargo.lock ## Clippy, warnings are errors
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --package keyslot-e2e --test stories --test used_rights --locked -- -D warnings
	CUSTOM_LIBFUZZER_PATH=/dev/null cargo clippy --manifest-path $(FUZZ)/Cargo.toml \
		--target-dir $${CARGO_TARGET_DIR:-target} -- -D warnings

docs: ## rustdoc, warnings are errors
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked --quiet

generated: ## Are crds/ and the generated pages current?
	@for page in $(PAGES); do \
		cargo run --quiet --locked --bin crdgen $${page#*:} | diff -u $${page%:*} - \
			|| { echo "$${page%:*} is not what the types say: make generate"; exit 1; }; \
	done

generate: ## Write crds/ and the generated pages
	@for page in $(PAGES); do \
		cargo run --quiet --bin crdgen $${page#*:} > $${page%:*}.new \
			&& mv $${page%:*}.new $${page%:*} || exit 1; \
	done

audit: ## Licences, sources and known flaws of the dependencies
	@.ci/audit

.PHONY: fuzz
fuzz: ## Feed the parsers of replies with anything; SECONDS=60 for each
	@cargo fuzz --version || { echo "cargo install --locked cargo-fuzz"; exit 1; }
	@cd crates/redis-admin && for target in $$(cargo fuzz list); do \
		cargo +nightly fuzz run $$target -- -max_total_time=$(SECONDS) || exit 1; \
	done

SECONDS ?= 60

# file:argument of crdgen
PAGES = crds/redisclusters.yaml: docs/reference.md:docs docs/conditions.md:conditions

.PHONY: bench-form
bench-form: ## How long forming takes beside redis-cli, and what rest costs; ARGS="--runs 1" and the like are its options
	@. e2e/scripts/kubernetes.sh && start_kubernetes keyslot $(BENCH_SERVERS)
	@cargo run --quiet --release --locked --bin bench-form -- $(ARGS)

.PHONY: bench-acl
bench-acl: ## How long changes of users take, also beside a hanging pod; ARGS="--shapes 3x1" and the like are its options
	@. e2e/scripts/kubernetes.sh && start_kubernetes keyslot $(BENCH_SERVERS)
	@cargo run --quiet --release --locked --bin bench-acl -- $(ARGS)

# Images for the benchmarks; other ones for ARGS="--servers valkey-8.1"
BENCH_SERVERS = redis-7.0 valkey-9.1

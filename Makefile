# Everything a contributor or a machine runs. `make help` lists it; docs/testing.md explains the tests.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON := .venv/bin/python
INSTALLED := .venv/.installed

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED): requirements.lock pyproject.toml hatch_build.py packaging/debian-packages.txt \
              scripts/install-debian-packages scripts/make-venv
	@scripts/install-debian-packages
	@scripts/make-venv
	@touch $@

.PHONY: setup
setup: $(INSTALLED) bpf ## Install what is missing (Debian packages, .venv) and build the kernel half

.PHONY: bpf
bpf: $(INSTALLED) ## Compile the kernel programs into src/watchword/enforcer/datapath/ebpf/objects
	@$(MAKE) --silent -C bpf all PYTHON=$(CURDIR)/$(PYTHON)

.PHONY: lint
lint: setup ## Check formatting, style, types and the direction of imports
	@scripts/lint

.PHONY: format
format: $(INSTALLED) ## Format and fix what can be fixed by a program
	@scripts/lint --fix

.PHONY: test
test: setup ## Lint, then every test in order (root: real namespaces, kernel programs and attacks)
	@scripts/test

.PHONY: test-unit
test-unit: setup ## Only the tests that need no root: unit, property, conventions
	@scripts/test --no-lint unit property conventions

.PHONY: demo
demo: setup ## Run the demonstration until Ctrl-C (root)
	@$(PYTHON) -m demo

.PHONY: demo-check
demo-check: setup ## Run the demonstration headless and assert every claim; last line is JSON (root)
	@$(PYTHON) -m demo --check

.PHONY: bench-connrate
bench-connrate: setup ## New connections per second against the bare kernel; last line is JSON (root)
	@$(PYTHON) -m bench.connrate

.PHONY: bench-datagrams
bench-datagrams: setup ## Questions and answers by UDP against the bare kernel: flows, datagrams, latency, first contact; last line is JSON (root)
	@$(PYTHON) -m bench.datagrams

.PHONY: bench-datapath
bench-datapath: setup ## Every bar of the datapath, six minutes: BENCH="--only loaded --quick"; last line is JSON (root)
	@$(PYTHON) -m bench.datapath $(BENCH)

.PHONY: bench-peers
bench-peers: setup ## Nebula, stunnel and Envoy beside Watchword, four minutes: BENCH="--only envoy --quick"; last line is JSON (root)
	@$(PYTHON) -m bench.peers $(BENCH)

.PHONY: bench-throughput
bench-throughput: setup ## Bulk throughput against the bare kernel; last line is JSON (root)
	@$(PYTHON) -m bench.throughput

.PHONY: soak-kills
soak-kills: setup ## Kill agents 1,000 times under load: KILLS=1000 SEED=7; last line is JSON (root)
	@$(PYTHON) -m tests.e2e.kills --kills $(or $(KILLS),1000) $(if $(SEED),--seed $(SEED))

.PHONY: fuzz-packets
fuzz-packets: setup ## Fuzz the loaded programs with packets: FUZZ="--packets 10000000 --state fuzz.json"; last line is JSON (root)
	@$(PYTHON) -m tests.fuzz $(FUZZ)

.PHONY: smoke-kernels
smoke-kernels: setup ## The kernel half on other kernels, in virtual machines: KERNELS="bookworm sid" SHORT=1 (root)
	@scripts/smoke-kernels $(if $(SHORT),--short) $(KERNELS)

.PHONY: mutate
mutate: setup ## Change a module line by line and see whether its tests notice: MODULE=policy/verdicts.py
	@$(PYTHON) scripts/mutate $(or $(MODULE),$(error say which module: make mutate MODULE=policy/verdicts.py))

.PHONY: bench-compiler
bench-compiler: setup ## The Enforcer's compiler: from nothing, one peer, one rule; last line is JSON
	@$(PYTHON) -m bench.compiler

.PHONY: bench-policy
bench-policy: setup ## The policy engine with up to 100,000 processing units; last line is JSON
	@$(PYTHON) -m bench.policy

.PHONY: bench-shadow
bench-shadow: setup ## What shadowed drafts cost the Console for each reported flow; last line is JSON
	@$(PYTHON) -m bench.shadow

.PHONY: docs
docs: $(INSTALLED) ## Write the generated reference pages (docs/cli.md) anew
	@$(PYTHON) scripts/cli-reference docs/cli.md

.PHONY: wheel
wheel: setup ## Build dist/watchword-*.whl with the compiled kernel programs inside
	@$(PYTHON) -m pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir dist .
	@ls dist/*.whl

.PHONY: lock
lock: ## Write requirements.lock anew from pyproject.toml (needs uv)
	@scripts/lock

.PHONY: clean
clean: ## Remove everything that was built, .venv included
	@$(MAKE) -C bpf clean
	@rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

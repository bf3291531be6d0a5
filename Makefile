# UMS. `make demo` and `make test` need Python >= 3.11, git and make; nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Some tests wait for processes that they started: one more worker than cores.
WORKERS = $(shell $(PYTHON) -c "import os; print(os.cpu_count() + 1)")

.DEFAULT_GOAL := help
.PHONY: help demo test check fix e2e bench chaos simulate client schemas pins clean

help: ## Show this
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(STAMP): requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "UMS needs Python >= 3.11; set PYTHON=…"; exit 1; }
	@echo "setting up $(VENV) (once)"
	@$(PYTHON) -m venv --clear $(VENV)
	@# --no-deps: all of them are listed; and pip before 23.3 looks for a newest version of what is pinned without extras.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.txt
	@touch $@

demo: $(STAMP) ## Publish, promote and watch a simulated fleet, on this machine
	@$(BIN)/python -m examples.demo

test: $(STAMP) ## Every test that needs no cluster
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal tests/integration tests/simulation tests/contract tests/unit

check: $(STAMP) ## Lint, types, imports, unit tests: seconds
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache
	@$(BIN)/python -m pytest -q -n auto tests/unit

fix: $(STAMP) ## Format, and repair what lint can
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

# Of the other tests those that need the tools, which may not have been there when they ran.
FIELD := tests/integration/test_field_tools.py tests/integration/test_cosign.py

e2e: $(STAMP) ## Real Kubernetes API, real Flux (builds the Go tools once, about 40 minutes)
	@$(BIN)/python -m tests.e2e.toolchain
	@$(BIN)/python -m pytest -n 2 --dist loadfile tests/e2e $(FIELD)

bench: $(STAMP) ## Figures against helm, cosign and git, as ratios
	@$(BIN)/python -m tests.bench

chaos: $(STAMP) ## Two replicas on PostgreSQL under load, killed at random for five minutes
	@$(BIN)/python -m tests.chaos

simulate: $(STAMP) ## A fleet with faults and people in it: a million steps, hours
	@$(BIN)/python -m tests.simulation

client: $(STAMP) ## Write the typed client of the API
	@$(BIN)/python -m tests.generate_client

schemas: $(STAMP) ## Write the JSON Schemas of the files people write
	@$(BIN)/python -m ums.schemas

PINS = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	--no-annotate pyproject.toml

pins: ## Write the exact versions of libraries, with their hashes
	@$(PINS) -o requirements.txt && $(PINS) --group dev -o requirements-dev.txt

clean: ## Remove what make made here
	rm -rf $(VENV) .demo .mypy_cache .ruff_cache .pytest_cache

# `make` alone prints this help.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest -m "not slow" -n auto --maxprocesses 4

export RAY_USAGE_STATS_ENABLED := 0
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow coverage lint format clean

help:  ## Print this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F '\t' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(STAMP)  ## Create .venv and install everything at the versions of constraints.txt

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	$(BIN)/python -c 'import sys; assert sys.version_info >= (3, 11, 4), f"Python 3.11.4 or newer is needed, this is {sys.version}"'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP)  ## The main job in at most 10 minutes: teacher, table3 on digits as Ray trials, table
	$(BIN)/dfkd teacher digits
	$(BIN)/dfkd ablate table3 --dataset digits --budget demo --seeds 0,1
	$(BIN)/dfkd report table3 --dataset digits --budget demo --seeds 0,1

lint: $(STAMP)  ## ruff, mypy and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)  ## Let ruff format and mend what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: lint  ## Lint, types, import contracts and the tests
	$(PYTEST)

test-slow: $(STAMP)  ## The tests that take minutes
	$(BIN)/python -m pytest -m slow --timeout 1800

coverage: $(STAMP)  ## The tests with line and branch coverage, which takes half as long again
	$(PYTEST) --cov --cov-report=term

clean:  ## Remove the environment and every cache; runs/ stays
	rm -rf $(VENV) build *.egg-info .coverage .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Needs Python 3.11+, git and make. Everything else is installed into .venv and .tools here.
PYTHON ?= python3
UV := $(shell command -v uv || echo .tools/bin/uv)
UV_DIR := $(dir $(UV))
BIN := .venv/bin
PYTEST ?= $(BIN)/pytest -q
export UV_PYTHON_DOWNLOADS = never

.DEFAULT_GOAL := help
.PHONY: help install demo demo-roles test chaos check format lint types fast-tests coverage clean

help: ## What can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: .venv/.installed ## The development environment in .venv

.tools/bin/uv:
	$(PYTHON) -m venv .tools || { echo "python3 has no venv module: install it (Debian: apt install python3-venv)"; exit 1; }
	.tools/bin/python -m pip install --quiet --disable-pip-version-check uv

.venv/.installed: pyproject.toml uv.lock | $(filter .tools/%,$(UV))
	$(UV) sync --quiet --locked --extra dev --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')"
	@touch $@

demo: install ## Run a real plan on this repository, with evidence (about a minute)
	@echo 'To look around later: export ATLAS_HOME="$(CURDIR)/.demo" PATH="$(CURDIR)/$(BIN):$$PATH"; atlas logs last unit-tests'
	PATH="$(CURDIR)/$(BIN):$(abspath $(UV_DIR)):$$PATH" ATLAS_HOME="$(CURDIR)/.demo" $(BIN)/atlas run examples/quickstart/plan.yaml
	ATLAS_HOME="$(CURDIR)/.demo" $(BIN)/atlas evidence last

demo-roles: install ## Goals and roles without a key: the replies are scripted, all the rest is real
	sh examples/fix-a-bug/prepare.sh
	ATLAS_HOME="$(CURDIR)/.demo" $(BIN)/atlas run examples/fix-a-bug/plan.yaml --model scripted/script.yaml
	ATLAS_HOME="$(CURDIR)/.demo" $(BIN)/atlas report last
	@echo 'Look around: export ATLAS_HOME="$(CURDIR)/.demo" PATH="$(CURDIR)/$(BIN):$$PATH"; atlas logs last fix'

test: install ## All tests but the long ones; services that are not there are started, or skipped with a reason
	$(PYTEST) -m "not chaos and not long and not browser" -n 2
	$(PYTEST) -m "browser and not long"

chaos: install ## The long ones: processes killed at random moments and at every failpoint
	ATLAS_CHAOS_TRIALS=$${ATLAS_CHAOS_TRIALS:-50} $(PYTEST) -m "(chaos or long) and not browser" --timeout 3600
	$(PYTEST) -m "long and browser"

check: lint types test ## What CI runs

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: install
	$(BIN)/pyright

format: install ## Put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

coverage: install ## Branch coverage, also of subprocesses
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q -m "not chaos and not long and not browser"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --include='state/*,orchestrator/*' --skip-covered

clean: ## Remove what was installed or made here
	rm -rf .venv .tools .demo examples/quickstart/out examples/fix-a-bug/repository .pytest_cache .ruff_cache .hypothesis .coverage*

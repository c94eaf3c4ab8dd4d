# `make` prints this help. Everything else is set up by the first target that needs it.
.DEFAULT_GOAL := help
SHELL := /bin/sh

PORT ?= 8000
# The first Python 3.11 or newer that this user may run and that can make virtual environments.
PYTHON ?= $(shell for p in python3.11 /usr/bin/python3.11 python3 /usr/bin/python3 python3.12 python3.13; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	>/dev/null 2>&1 && { command -v $$p; break; }; done)

VENV := .venv
RUN := $(VENV)/bin/python
RUNTIME := $(VENV)/.runtime-installed
DEVELOPMENT := $(VENV)/.development-installed
export TOLLBOOK_ENV ?= development
METRICS := .metrics/$(PORT)

.PHONY: help demo serve worker test quick browser torture bench lint types check fmt lock clean

help: ## show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(RUN):
	@test -n "$(PYTHON)" || { echo "Tollbook needs Python 3.11 or newer with venv (Debian: apt-get install python3 python3-venv)." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# Every package that is installed, by its version and hash, stands in the lock files.
$(RUNTIME): requirements.lock | $(RUN)
	@echo "Installing what Tollbook runs on …" >&2
	@$(RUN) -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(DEVELOPMENT): requirements-dev.lock requirements.lock | $(RUN)
	@echo "Installing what the tests and checks need …" >&2
	@$(RUN) -m pip install -qq --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@ $(RUNTIME)

demo: $(RUNTIME) ## set everything up, load the demo company, serve on http://127.0.0.1:$(PORT)
	@$(RUN) -m config.server.door $(PORT)
	@$(RUN) manage.py migrate --verbosity 0
	@EMAIL_URL=dummymail:// $(RUN) manage.py seed_demo --port $(PORT)
	@exec $(RUN) -m config.server --port $(PORT) --workers 1

serve: $(RUNTIME) ## migrate and serve, without the demo company
	@$(RUN) -m config.server.door $(PORT)
	@$(RUN) manage.py migrate --verbosity 0
	@rm -rf $(METRICS) && mkdir -p $(METRICS)
	@PROMETHEUS_MULTIPROC_DIR=$(METRICS) exec $(RUN) -m config.server --port $(PORT) --workers 2

worker: $(RUNTIME) ## run what falls due (reloads, webhooks, alerts, …), beside the server
	@exec $(RUN) manage.py worker

# Compiled modules are kept in __pycache__: both workers and every process that a test starts would compile them anew.
PYTEST := PYTHONDONTWRITEBYTECODE= $(RUN) -m pytest -n 2 --dist worksteal

test: $(DEVELOPMENT) ## the whole suite, on a PostgreSQL of its own
	@$(PYTEST)

quick: $(DEVELOPMENT) ## the tests that are not slow, in a minute and a half
	@$(PYTEST) -m "not slow"

browser: $(DEVELOPMENT) ## stories in Chromium (apt-get install chromium); without it they are skipped
	@$(RUN) -m pytest tests/browser -rs

torture: $(DEVELOPMENT) ## races over and over, for some minutes
	@$(RUN) -m pytest tests/torture

bench: $(DEVELOPMENT) ## measure speed against limits of the same run; writes bench.json
	@$(RUN) -m tests.bench $(BENCH)

lint: $(DEVELOPMENT) ## ruff, import-linter, djlint
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/lint-imports --no-cache
	@$(VENV)/bin/djlint templates --lint --quiet

types: $(DEVELOPMENT) ## mypy, strict
	@$(VENV)/bin/mypy

check: lint types ## everything that CI runs
	@$(RUN) manage.py check
	@$(RUN) manage.py makemigrations --check --dry-run
	@$(MAKE) --no-print-directory test

fmt: $(DEVELOPMENT) ## put the code into its one shape
	@$(VENV)/bin/ruff check --fix --quiet . || true
	@$(VENV)/bin/ruff format .

UV := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock"
lock: $(RUN) ## write the lock files anew from requirements*.txt; LOCK=--upgrade takes newer versions of what they pull in
	@$(RUN) -m pip install -qq --disable-pip-version-check $$(grep '^uv==' requirements-dev.txt)
	@$(UV) $(LOCK) requirements.txt --output-file requirements.lock
	@$(UV) $(LOCK) requirements-dev.txt --constraint requirements.lock --output-file requirements-dev.lock

clean: ## remove what the other targets made, the embedded database included
	@test ! -x $(RUN) || $(RUN) manage.py postgres stop || true
	@rm -rf $(VENV) .peers .postgres .metrics staticfiles .pytest_cache .mypy_cache .ruff_cache

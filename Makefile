# Needs make and Python 3.11 or later, nothing else: the first target you call makes .venv from the locked requirements.

# The first of these that runs. By hand:  make test PYTHON=/opt/python3.12/bin/python3
CANDIDATES := python3.13 python3.12 python3.11 python3 python3.14 python
RECENT     := -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
FOUND       = $(shell for p in $(CANDIDATES); do $$p $(RECENT) && echo $$p && break; done)

VENV ?= .venv
PY   := $(VENV)/bin/python
PIP  := $(PY) -m pip --disable-pip-version-check --quiet install
RUN  := $(VENV)/.run
DEV  := $(VENV)/.dev

# System packages with the peers of the interop tests. `make test` installs them only as root, and only with apt-get.
INTEROP_PACKAGES := faketime sip-tester kamailio kamailio-extra-modules kamailio-tls-modules baresip
# "required" turns every skipped interop test into a failure.
INTEROP ?= $(if $(CI),required)
export SIPFAILOVER_INTEROP = $(INTEROP)

.DEFAULT_GOAL := help
.PHONY: help demo test quick bench flood fuzz soak versions lint format build clean suite peers

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo 'ARGS="…" goes to the program (make quick ARGS="-k trunk"); PYTHON=… chooses the interpreter.'

demo: $(RUN) ## Watch a failover in the terminal, in about a minute (ARGS=--keep to play on)
	@$(PY) -m sipfailover demo $(ARGS)

test: peers suite ## Run every test, with interop peers where they can be had

quick: $(DEV) ## Run the tests that take no time and need no peers
	$(PY) -m pytest -m "not slow and not interop and not bench" $(ARGS)

bench: $(DEV) ## Measure
	$(PY) -m tests.bench $(ARGS)

flood: $(DEV) ## Flood it for a minute each way while a PBX calls (ARGS="invites --seconds 10")
	$(PY) -m tests.flood $(ARGS)

soak: $(DEV) ## Live through SEEDS=100000 random worlds, from FIRST=0 on, and through every pair of crashes
	$(PY) -m tests.simulation.schedules --seeds $(or $(SEEDS),100000) --first $(or $(FIRST),0)
	SIPFAILOVER_CRASHES=all $(PY) -m pytest tests/simulation/test_crashes.py

fuzz: $(DEV) ## Damage messages for SECONDS=60 each on wire, digest and engine; what reaches new code joins tests/corpus
	$(PY) -m tests.fuzz --seconds $(or $(SECONDS),60) --keep $(ARGS)

versions: ## Run the suite without interop on every Python from 3.11 on that is at hand
	@failed=; for v in 3.11 3.12 3.13 3.14; do for p in python$$v "$$HOME"/.pyenv/versions/$$v*/bin/python; do \
	  $$p $(RECENT) || continue; echo "== Python $$v"; \
	  $(MAKE) --no-print-directory suite VENV=.venv-$$v PYTHON="$$p" ARGS='-m "not interop" $(ARGS)' \
	    || failed="$$failed $$v"; break; \
	done; done; [ -z "$$failed" ] || { echo "Failed on:$$failed" >&2; exit 1; }

lint: $(DEV) ## Formatter, linter, types and layers
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports --no-logo

format: $(DEV) ## Format, and mend what the linter can mend
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

build: $(DEV) ## Make wheel and sdist in dist/
	rm -rf dist
	$(PY) -m build --no-isolation

clean: ## Remove environments, caches and what was built
	rm -rf .venv .venv-* dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find sipfailover tests -name __pycache__ -prune -exec rm -rf {} +

# ---- what the targets above stand on

suite: $(DEV)
	$(PY) -m pytest $(ARGS)

peers:
	@command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] || exit 0; missing=; \
	for p in $(INTEROP_PACKAGES); do \
	  [ "$$(dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null)" = installed ] || missing="$$missing $$p"; \
	done; [ -n "$$missing" ] || exit 0; \
	echo "Installing the peers of the interop tests:$$missing"; export DEBIAN_FRONTEND=noninteractive; \
	apt-get update -qq </dev/null && apt-get install -qq -y --no-install-recommends $$missing </dev/null >/dev/null \
	  || { echo "That failed; the tests that need them are skipped." >&2; exit 0; }; \
	case "$$missing" in *kamailio*) [ ! -d /run/systemd/system ] || systemctl disable --now kamailio ;; esac

# A chosen PYTHON that is not the one of the environment: make the environment anew.
ifdef PYTHON
$(shell [ "$$(cat $(VENV)/.python 2>/dev/null)" = "$(PYTHON)" ] || rm -f $(RUN))
endif
PYTHON ?= $(FOUND)

# The build backend is locked too, so that the package itself is installed without asking the network for one.
$(RUN): requirements.lock requirements-build.lock pyproject.toml
	@$(or $(PYTHON),false) $(RECENT) || { echo "Python 3.11 or later is needed, and none of these is one:" \
	  "$(or $(PYTHON),$(CANDIDATES)). Install it, or say where it is: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Making $(VENV) with $(PYTHON) ..."
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); \
	  echo "No venv with $(PYTHON). On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(PIP) --require-hashes -r requirements.lock -r requirements-build.lock
	@$(PIP) --no-index --no-deps --no-build-isolation --editable .
	@echo "$(PYTHON)" >$(VENV)/.python
	@touch $@

$(DEV): $(RUN) requirements-dev.lock
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

# Everything a checkout needs, from nothing but Python 3.11 or later.
#   make run      set up, start the runner with the example tasks
#   make test     set up, check everything: format, lint, types, import contracts, tests (by WORKERS=2 at once)
#   make test PYTHON=…        the same with another Python, which has a virtual environment of its own
#   make test-light PYTHON=…  only what is quickly tested, for another Python
#   make test-all             all tests with each of PYTHONS
#   make schema   write down what the store's migrations make together
#   make fuzz     say hostile things to every part that listens, for MINUTES=20
#   make bench-…  measure something, as ratios in one run; keep the machine quiet meanwhile
PYTHON ?= python3
MINUTES ?= 20
WORKERS ?= 2
PYTHONS ?= python3.11 python3.12 python3.13
VENV := .venv
# A Python that is named, where .venv has another one:
ifeq ($(origin PYTHON),command line)
VENV := $(shell $(PYTHON) -c 'import os, sys; own = "%d.%d" % sys.version_info[:2]; \
  print(".venv" if not os.path.exists(".venv") or os.path.exists(".venv/bin/python" + own) else ".venv-" + own)')
endif
LIGHT := tests/unit tests/guest tests/sdk tests/catalog
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps

.PHONY: run test test-light test-all check fix schema fuzz bench-nodes bench-claim bench-sandbox bench-endurance bench-schedule clean

run: $(VENV)/run.stamp
	@$(BIN)/isolane serve

test: check
	$(BIN)/pytest --quiet $(PYTEST_OPTIONS) -m "not alone" --numprocesses $(WORKERS) --dist worksteal
	$(BIN)/pytest --quiet $(PYTEST_OPTIONS) -m alone

test-light: $(VENV)/dev.stamp
	$(BIN)/pytest --quiet $(PYTEST_OPTIONS) -m "not alone" --numprocesses $(WORKERS) --dist worksteal $(LIGHT)

test-all:
	for python in $(PYTHONS); do $(MAKE) test PYTHON=$$python || exit 1; done

check: $(VENV)/dev.stamp
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(VENV)/dev.stamp
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "isolane needs Python 3.11 or later; name one: make run PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Setting up $(VENV) ..."
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "This Python cannot make a virtual environment (on Debian: apt-get install python3-venv)"; exit 1; }

$(VENV)/run.stamp: requirements/run.txt requirements/build.txt pyproject.toml | $(BIN)/python
	@$(PIP) --require-hashes -r requirements/run.txt
	@$(PIP) --require-hashes -r requirements/build.txt
	@$(PIP) --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/run.stamp
	@$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@

schema: $(VENV)/dev.stamp
	cd tests && ../$(BIN)/python -m support.schemas

fuzz: $(VENV)/dev.stamp
	$(BIN)/python tests/fuzz/long.py $(MINUTES)

bench-nodes: $(VENV)/dev.stamp
	$(BIN)/python tests/bench/nodes.py

bench-claim: $(VENV)/dev.stamp
	$(BIN)/python tests/bench/claim_million.py

bench-sandbox: $(VENV)/dev.stamp
	$(BIN)/python tests/bench/sandbox_speed.py

bench-endurance: $(VENV)/dev.stamp
	$(BIN)/python tests/bench/endurance.py

bench-schedule: $(VENV)/dev.stamp
	$(BIN)/python tests/bench/schedule.py

clean:
	rm -rf .venv .venv-* .isolane .pytest_cache .mypy_cache .ruff_cache .hypothesis dist

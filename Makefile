# SPDX-License-Identifier: MIT
#
#   make demo    the console on a simulated host; no root, no kernel (ARGS=--list)
#   make check   the part of the tests that takes minutes and needs no root
#   make test    what every change has to pass; as root on a Debian machine: installs, builds the lab, tests
#   make test-all    the same and the rest: other versions, other releases, the debug kernel, figures
#   make lab     the console inside the lab, on a real kernel
#   make lab-guest  the same beside a virtual machine that outlives the kernel
#   make soak    hours of abuse of the kernel module, each time with another seed
#   make bench   the figures
#   make screenshots  the pictures, from the program as it is
#   make dist    a wheel, an sdist and Debian packages, in dist/

PYTHON ?= python3
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CACHE := $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/luo-tui
# The folder is named by what it is made from, so that a change makes a new one.
KEY := $(shell { $(PYTHON) -VV; $(PYTHON) -c 'import sys; print(sys.executable)'; cat pyproject.toml; } 2>/dev/null | sha256sum | cut -c1-16)
VENV := $(CACHE)/venv-$(KEY)
PY := $(VENV)/bin/python
export PYTHONPATH := $(CURDIR)
# Half of a short command is compiling, which is kept; beside the checkout, not in it.
export PYTHONPYCACHEPREFIX := $(VENV)/bytecode
# The limits on `make test` count from here, whatever has to be installed first.
ifndef TESTS_BEGAN
export TESTS_BEGAN := $(shell date +%s)
endif

.PHONY: help demo test test-all run-test run-test-all check lint types lab lab-guest soak bench screenshots dist packages venv clean

help:
	@sed -n 's/^#   \(make.*\)/\1/p' Makefile

demo: $(VENV)/ready
	@$(PY) -m luo_tui demo $(ARGS)

check: $(VENV)/ready-dev lint types
	$(PY) tests/run.py check

lint: $(VENV)/ready-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: $(VENV)/ready-dev
	$(PY) -m mypy --strict luo_tui
	$(PY) -m mypy --strict kernel/lab/*.py

# A make of its own, since the packages may have brought the Python that the rest is named by.
test test-all: packages
	@$(MAKE) -s --no-print-directory run-$@

run-test run-test-all: $(VENV)/ready-dev lint types
	$(PY) tests/run.py $(@:run-%=%) --began $(TESTS_BEGAN)

lab: packages
	@$(MAKE) -s --no-print-directory $(VENV)/ready-dev
	@$(PY) kernel/lab console

lab-guest: packages
	@$(MAKE) -s --no-print-directory $(VENV)/ready-dev
	@$(PY) kernel/lab guest

soak: packages
	@$(MAKE) -s --no-print-directory $(VENV)/ready-dev
	$(PY) kernel/lab build --debug
	$(PY) -m pytest -q -s -p no:cacheprovider --soak -m extra tests/abuse

bench: packages
	@$(MAKE) -s --no-print-directory $(VENV)/ready-dev
	$(PY) kernel/lab build
	$(PY) -m pytest -q -s -p no:cacheprovider --whole tests/bench

screenshots: $(VENV)/ready
	$(PY) screenshots/make.py

dist: packages
	@$(MAKE) -s --no-print-directory $(VENV)/ready-dev
	@$(PY) -m luo_tui.packaging.build dist

# Needs root only when something is missing.
packages:
	@want=$$(sed 's/#.*//' kernel/lab/packages); missing=; \
	for p in $$want; do \
	  dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; \
	done; \
	[ -z "$$missing" ] || { \
	  [ "$$(id -u)" = 0 ] || { echo "missing packages; as root: apt-get install$$missing" >&2; exit 1; }; \
	  apt-get -q update >/dev/null || { echo "apt-get update failed: check the network and the mirror in /etc/apt" >&2; exit 1; }; \
	  DEBIAN_FRONTEND=noninteractive apt-get -qy --no-install-recommends install $$missing >/dev/null \
	    || { echo "apt-get could not install:$$missing" >&2; exit 1; }; }

# The stamps are written last: a half-made folder is made anew.
$(VENV)/ready:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $(PYTHON) is older: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "Python's venv module is missing: apt install python3-venv" >&2; exit 1; }
	@rm -rf $(VENV); mkdir -p $(CACHE); $(PYTHON) -m venv $(VENV) >/dev/null
	@$(PYTHON) -c 'import tomllib; print("\n".join(tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"]))' >$(VENV)/run.txt
	@$(PY) -m pip -q --disable-pip-version-check install -r $(VENV)/run.txt 2>$(VENV)/pip.log || { tail -n 3 $(VENV)/pip.log >&2; echo "pip could not fetch what is needed: check the network, then repeat" >&2; exit 1; }
	@touch $@

$(VENV)/ready-dev: $(VENV)/ready
	@$(PYTHON) -c 'import tomllib; print("\n".join(tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["dev"]))' >$(VENV)/dev.txt
	@$(PY) -m pip -q --disable-pip-version-check install -r $(VENV)/dev.txt 2>$(VENV)/pip.log || { tail -n 3 $(VENV)/pip.log >&2; echo "pip could not fetch what is needed: check the network, then repeat" >&2; exit 1; }
	@touch $@

# For whoever wants to run one test: $(make -s venv) -m pytest tests/unit
venv: $(VENV)/ready-dev
	@echo $(PY)

clean:
	rm -rf dist .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

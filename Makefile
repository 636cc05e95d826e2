.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What pip is asked for in the place of plain torch, e.g. TORCH="torch --index-url https://download.pytorch.org/whl/cpu"
TORCH ?=
ARGS ?=

.PHONY: help install train test test-slow kills test-gpu check format docs sweep dashboard benchmark clean

help:  ## show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20
	@echo "  (ARGS=... is handed on to genlab, e.g. make train ARGS='model=ae seed=1')"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	@if [ -n "$(TORCH)" ]; then $(BIN)/pip install $(TORCH); fi

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "installing genlab and what it needs into $(VENV) (torch is large: a few minutes the first time)"
	$(BIN)/pip install --quiet -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/pip install --quiet -e '.[test]'
	@touch $@

install: $(VENV)/.installed  ## set up .venv with genlab in it

train: $(VENV)/.installed  ## train a VAE on the embedded digits and show what it made
	$(BIN)/genlab train $(ARGS)

test: $(VENV)/.installed-test  ## set up .venv with the test extras and run the suite
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-slow: $(VENV)/.installed-test  ## run the longer studies
	$(BIN)/python -m pytest -m slow $(ARGS)

kills: $(VENV)/.installed-test  ## kill trainings of every family and resume them, ARGS="vae* --kills 50"
	$(BIN)/python -m tests.kills $(ARGS)

test-gpu: $(VENV)/.installed-test  ## run what needs an NVIDIA GPU
	GENLAB_TEST_GPU=1 $(BIN)/python -m pytest -m gpu --dist load $(ARGS)

check: $(VENV)/.installed-test  ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.installed-test  ## put the code into its format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.installed-test  ## write pages of the Python interface into outputs/docs
	$(BIN)/python -m tests.api_pages

sweep: $(VENV)/.installed  ## a small sweep: two models, two seeds
	$(BIN)/genlab train -m model=ae,vae seed=0,1 $(ARGS)

dashboard: $(VENV)/.installed  ## open TensorBoard on the runs
	$(BIN)/genlab dashboard $(ARGS)

$(VENV)/.installed-bench: $(VENV)/.installed
	$(BIN)/pip install --quiet -e '.[bench]'
	@touch $@

benchmark: $(VENV)/.installed-bench  ## speed beside other people's training loops, in turns in one process
	$(BIN)/python -m tests.benchmarks $(ARGS)

clean:  ## remove caches and build products (not .venv, not outputs)
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

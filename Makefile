# make demo   see the whole idea work on real images, in about three minutes
# make test   run the tests
# make lint   format check, lint, types, architecture
# make scan   prune every architecture that transformers ships, in about five minutes
# make detectors   compare the detectors on the recorded runs, and choose among their settings
# Everything else they need (a virtual environment in .venv) is made on first use.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test lint format scan detectors

setup: .venv/complete

.venv/complete: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "earlybird needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 setup")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup
	$(BIN)/earlybird demo

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

scan: setup
	$(BIN)/python benchmarks/scan/scan.py

detectors: setup
	$(BIN)/python benchmarks/detectors/compare.py
	$(BIN)/python benchmarks/detectors/choose.py

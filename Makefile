# make demo        fine-tune a small network, dense and cut early, in about three minutes; installs only what that needs
# make test        run the tests
# make test-all    run those too that take long
# make lint        format check, lint, types, architecture
# make test-timm   run the tests of timm models in .venv-timm (5.5 GB)
# make timm-table  write the table of what of them is pruned
# make scan        prune every architecture that transformers ships, in about five minutes
# make docs        build the documentation into site/
# make architecture   draw which room imports which, and print it
# make detectors   compare the detectors on the recorded runs, and choose among their settings
# make families    measure the named families; TRANSFORMERS=5.20.0 does so with that release, in an environment of its own
# Everything else they need (a virtual environment in .venv) is made on first use.

PYTHON ?= python3
BIN := .venv/bin
FAMILIES := .venv$(if $(TRANSFORMERS),-transformers-$(TRANSFORMERS))

.PHONY: setup demo test test-all docs architecture lint format scan families test-timm timm-table detectors

setup: .venv/complete

.venv/complete: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "earlybird needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 setup")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# Where all of it is installed, the demo needs no more.
demo: $(if $(wildcard .venv/complete),.venv/complete,.venv/demo)
	$(BIN)/earlybird demo

.venv/demo: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "earlybird needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 demo")'
	@echo 'Installing what the demo needs into .venv (earlybird with its extras recipes and report): 69 packages, about'
	@echo '2 GB on the disk, 0.8 GB of that torch for the CPU; a torch with the libraries of CUDA takes several GB more.'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[recipes,report]'
	touch $@

# A file of tests is one process's, with one thread: as many files at a time as there are processors, up to four.
TEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --durations 20

test: setup
	$(TEST)

test-all: setup
	$(TEST) -m "thorough or not thorough"

# Into site/; a warning fails.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

architecture: setup
	$(BIN)/python website/architecture.py

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

families: $(FAMILIES)/complete
	PYTHONPATH=tests/model $(FAMILIES)/bin/python benchmarks/families/measure.py

# All pins but the one of transformers.
.venv-transformers-%/complete: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(@D)
	grep -v '^transformers==' constraints.txt > $(@D)/constraints.txt
	echo 'transformers==$*' >> $(@D)/constraints.txt
	$(@D)/bin/python -m pip install --quiet --constraint $(@D)/constraints.txt torch
	$(@D)/bin/python -m pip install --quiet --constraint $(@D)/constraints.txt --editable '.[dev]'
	touch $@

detectors: setup
	$(BIN)/python benchmarks/detectors/compare.py
	$(BIN)/python benchmarks/detectors/choose.py

.venv-timm/complete: pyproject.toml constraints.txt constraints-timm.txt
	$(PYTHON) -m venv .venv-timm
	grep -v '^torch==' constraints.txt | cat - constraints-timm.txt > .venv-timm/constraints.txt
	.venv-timm/bin/python -m pip install --quiet --constraint .venv-timm/constraints.txt torch torchvision
	.venv-timm/bin/python -m pip install --quiet --constraint .venv-timm/constraints.txt --editable '.[timm]' pytest
	touch $@

test-timm: .venv-timm/complete
	.venv-timm/bin/python -m pytest tests/model/test_timm.py

timm-table: .venv-timm/complete
	.venv-timm/bin/python benchmarks/timm/table.py

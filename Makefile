# From a bare clone every target makes .venv by itself.
# PYTHON=/path/to/python3.12 picks the interpreter, VENV=/path an environment elsewhere, JOBS=8 more test processes.
PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test lint bench docs soak clean
.DEFAULT_GOAL := demo

demo: $(VENV)/.installed  ## a Swin Transformer learns from real pictures, and the next command to type
	$(BIN)/swinkit demo

test: $(VENV)/.installed-dev  ## every test but the long campaigns
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup -m "not slow"

lint: $(VENV)/.installed-dev  ## style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-dev  ## every benchmark; raw samples go to benchmarks/results/, tables to the README
	failed=0; for script in benchmarks/*.py; do $(BIN)/python $$script || failed=1; done; \
	    $(BIN)/python -m benchmarks.common.render; exit $$failed

docs: $(VENV)/.installed-dev  ## the documentation as a site, docs/_build/html/index.html
	$(BIN)/python -m sphinx -W --keep-going -q docs docs/_build/html

soak: $(VENV)/.installed-dev  ## the long campaigns too, with all their repeats
	SWINKIT_SOAK=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest --timeout 7200

clean:
	rm -rf $(VENV) docs/_build build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "swinkit needs Python 3.11 or newer; try: make PYTHON=/path/to/python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# installed again only when pyproject.toml changed
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "Installing swinkit into $(VENV), once; most of the time is torch"
	$(INSTALL) -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	@echo "Installing swinkit and what its tests need into $(VENV), once; most of the time is torch"
	$(INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/.installed

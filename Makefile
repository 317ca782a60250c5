# The commands of this repository. They need Python 3.11 or newer, pip, make and git; everything else is
# installed into .venv from requirements.lock, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=
# Compiled modules make every start of Python several times faster, and the tests start many.
unexport PYTHONDONTWRITEBYTECODE

# An environment is up to date when the files it was made from have the same content as then.
LOCKED := $(VENV)/.locked-$(shell cat requirements.lock | cksum | cut -d' ' -f1)
INSTALLED := $(VENV)/.installed-$(shell cat requirements.lock pyproject.toml $(wildcard qi_notebooks/templates/*.ipynb) | cksum | cut -d' ' -f1)

# Compiled loops are made once for each state of their sources; numba does not see that one of them calls another.
KERNELS := src/qieval/numerics/kernels
COMPILED := $(VENV)/.compiled-$(shell cat $(KERNELS)/*.py | cksum | cut -d' ' -f1)

.DEFAULT_GOAL := help
.PHONY: help lab test lint bench docs clean environment

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

lab: $(COMPILED) ## open JupyterLab on the start page (LAB_ARGS="--port 8890 --no-browser")
	@$(BIN)/qieval lab $(LAB_ARGS)

test: $(COMPILED) ## run all tests (PYTEST_ARGS="-m 'not slow and not browser'" for the quick ones)
	$(BIN)/pytest -n 2 $(PYTEST_ARGS)

# Two workers fill two cores; threads inside the linear algebra would only get in their way.
test: export OPENBLAS_NUM_THREADS = 1
test: export OMP_NUM_THREADS = 1

lint: $(INSTALLED) ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(COMPILED) ## compare speed and memory with other packages
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

docs: $(INSTALLED) ## write the reference documentation to build/docs
	$(BIN)/pdoc --docformat numpy --output-directory build/docs qieval '!qieval.numerics'

clean: ## remove the environment and everything that make built
	rm -rf $(VENV) build dist ci-artifacts .mypy_cache .ruff_cache .pytest_cache .hypothesis

environment: $(COMPILED) ## only build the environment

$(LOCKED):
	@sh tools/make-environment.sh "$(PYTHON)" "$(VENV)"
	@rm -f $(VENV)/.locked-* $(VENV)/.installed-*
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes --requirement requirements.lock
	@touch $@

$(INSTALLED): $(LOCKED)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@rm -f $(VENV)/.installed-*
	@touch $@

$(COMPILED): $(INSTALLED)
	@echo "Compiling the inner loops (once, about a minute) ..."
	@rm -f $(KERNELS)/__pycache__/*.nb? $(VENV)/.compiled-*
	$(BIN)/python -m qieval.numerics.warm_up
	@touch $@

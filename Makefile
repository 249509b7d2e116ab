# Everything runs from a fresh clone: the first call makes .venv and installs the pinned
# requirements (docs/decisions/0009); later calls start at once. Needs python3 (3.11 or newer)
# with its venv module, and make.
#
#   make demo               the whole story in the terminal: no account, no database server
#   make example-audience   a list in Iterable equal to a query, against the local sandbox
#   make example-profiles   experiments and churn risk in profile fields, the same way
#   make test               style, types, import directions and every test
#   make test-warehouses    the other warehouses: installs their drivers; says what ran and what not
#   make soak               the long version of the fault tests (hours; see docs/reliability.md)
#   make mutate             mutation testing of planning and settling (hours)
#   make bench              how fast a run is beside what it could be: a million people (20 minutes)
#   make bench-large        the same with ten million (hours)
#   make bench-page         docs/performance.md, from the figures of both
#   make docs               the documents as a site, in the folder site
#   make docs-pages         the pages of docs that are made of the code
#   make tour               docs/tour.md, by trying a wheel as a new user would (minutes)
#   make audit-dependencies known holes in the pinned requirements; asks a service on the network
#   make lint               the same without the tests
#   make format             rewrite the code in the house style
#   make test-lowest        the tests on a built wheel and the oldest dependencies allowed
#   make requirements       resolve the pins again, after a change of dependencies
#   make clean              remove the environments and everything that tools left behind

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.run-installed
DEV_STAMP := $(VENV)/.dev-installed
DOCS_STAMP := $(VENV)/.docs-installed

# Wheels only, so no foreign build code runs. Python compiles what it imports at its first import;
# compiling everything here would take most of the time.
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input
PIP_INSTALL := $(PIP) install --require-hashes --only-binary :all: --no-compile
# The build backend is among the pins, so building this folder needs no network of its own.
PIP_SELF := $(PIP) install --no-deps --no-build-isolation --editable .

UV := $(BIN)/uv
UV_COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header
# `make requirements UPGRADE=--upgrade` takes the newest versions, else pins move only if they must.
UPGRADE ?=

.PHONY: help
help:
	@sed -n 's/^#   make/  make/p' Makefile

.PHONY: demo
demo: $(RUN_STAMP)
	@$(BIN)/reverse-etl demo

.PHONY: example-audience example-profiles
example-audience example-profiles: example-%: $(RUN_STAMP)
	@$(BIN)/python examples/run.py $*

# pytest runs last, so that its summary is the last line. One process for each core, each with a
# PostgreSQL of its own; `make test PYTEST_PROCESSES=0` runs everything in one.
PYTEST_PROCESSES ?= auto

.PHONY: test
test: lint
	$(BIN)/python -m pytest --numprocesses $(PYTEST_PROCESSES) --dist worksteal

.PHONY: lint
lint: $(DEV_STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit -q -c pyproject.toml -r reverse_etl connectors sample_warehouse examples

# Installs engines and drivers (some 2 GB), and runs for more than an hour, most of it in Spark;
# `make test-warehouses ONLY=MariaDB` takes the parts whose name contains the word.
ONLY ?=

.PHONY: test-warehouses
test-warehouses:
	@PYTHON=$(PYTHON) tests/warehouses/run '$(ONLY)'

# Each part prints its progress and its figures, ends non-zero when a promise was broken, and then
# names the command that shows it again. Smaller: make soak SOAK_SEEDS=1-500 SOAK_KILLS=50
SOAK_HISTORIES ?= 1000000
SOAK_SEEDS ?= 1-10000
SOAK_POSTGRES_SEEDS ?= 1-30000
SOAK_LOOSE_SEEDS ?= 1-5000
SOAK_KILLS ?= 500
SOAK_TRANSPORT ?= 1000
SOAK_MINUTES ?= 60
SOAK_EXAMPLES ?= 2000
SOAK_JOBS ?= $(shell nproc)
ON_POSTGRES := $(BIN)/python -m reverse_etl.testing.postgres $(BIN)/python -m

.PHONY: soak soak-rules soak-seeds soak-loose-seeds soak-postgres-seeds soak-examples soak-points \
	soak-kills soak-transport soak-serve
soak: soak-rules soak-kills soak-transport soak-serve soak-points soak-examples soak-seeds \
	soak-loose-seeds soak-postgres-seeds

soak-rules: $(DEV_STAMP)
	$(BIN)/python -m reverse_etl.testing.rules --histories $(SOAK_HISTORIES) --jobs $(SOAK_JOBS)

soak-seeds: $(DEV_STAMP)
	$(BIN)/python -m reverse_etl.testing.simulation --seeds $(SOAK_SEEDS) --jobs $(SOAK_JOBS)

soak-loose-seeds: $(DEV_STAMP)
	$(BIN)/python -m reverse_etl.testing.simulation --loose --seeds $(SOAK_LOOSE_SEEDS) --jobs $(SOAK_JOBS)

# Each job plays in a database of its own.
soak-postgres-seeds: $(DEV_STAMP)
	$(ON_POSTGRES) reverse_etl.testing.simulation --seeds $(SOAK_POSTGRES_SEEDS) \
		--jobs $(SOAK_JOBS) $(foreach n,$(shell seq $(SOAK_JOBS)),--url {url})

soak-examples: $(DEV_STAMP)
	HISTORIES=$(SOAK_EXAMPLES) $(BIN)/python -m pytest tests/simulation/test_found_by_hypothesis.py

soak-points: $(DEV_STAMP)
	$(BIN)/python -m reverse_etl.testing.scenarios --singles --jobs $(SOAK_JOBS)
	$(BIN)/python -m reverse_etl.testing.scenarios --pairs --jobs $(SOAK_JOBS)

soak-kills: $(DEV_STAMP)
	$(BIN)/python -m reverse_etl.testing.kills --kills $(SOAK_KILLS) --warehouse duckdb
	$(BIN)/python -m reverse_etl.testing.kills --kills $(SOAK_KILLS) --warehouse postgresql

soak-serve: $(DEV_STAMP)
	$(BIN)/python -m reverse_etl.testing.serving --minutes $(SOAK_MINUTES)
	$(ON_POSTGRES) reverse_etl.testing.serving --minutes $(SOAK_MINUTES) --url {url}

soak-transport: $(DEV_STAMP)
	TRANSPORT_CASES=$(SOAK_TRANSPORT) $(BIN)/python -m pytest tests/reliability/transport \
		-k any_faults --numprocesses $(SOAK_JOBS)

# Its tool is not among the pins: it brings a terminal interface with many dependencies.
.PHONY: mutate
mutate: $(DEV_STAMP)
	@$(PIP) install 'mutmut>=3.8,<4'
	$(BIN)/python -m mutmut run --max-children $(SOAK_JOBS)
	$(BIN)/python -m mutmut results

# Figures beside their targets, in turns with the yardsticks; to be run on a machine with no other
# work. One case: .venv/bin/python -m benchmarks --only first-run --engine duckdb
.PHONY: bench bench-large
bench: $(DEV_STAMP)
	$(BIN)/python -m benchmarks --people 100000 --only first-run --json benchmarks/results/100000.json
	$(BIN)/python -m benchmarks --people 1000000 --json benchmarks/results/1000000.json

bench-large: $(DEV_STAMP)
	$(BIN)/python -m benchmarks --people 10000000 --repeats 1 --json benchmarks/results/10000000.json

# What draws the plots is not among the pins: nothing else needs it.
.PHONY: bench-page
bench-page: $(DEV_STAMP)
	@$(PIP) install 'matplotlib>=3.10,<4'
	$(BIN)/python -m benchmarks.page

# A broken link, or a page that is in no part of the navigation (docs/conf.py), fails it.
SITE ?= site

.PHONY: docs docs-pages
docs: $(DOCS_STAMP)
	@rm -rf $(SITE)
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --fresh-env \
		-c docs -d build/docs . $(SITE)
	@echo 'the site begins with $(SITE)/index.html'

docs-pages: $(DOCS_STAMP)
	$(BIN)/python docs/generate

# Faster, with what is installed here: .venv/bin/python docs/tour.py --here
.PHONY: tour
tour: $(DEV_STAMP)
	$(BIN)/python docs/tour.py

# Not among the pins: it has many dependencies, and says nothing without its service.
.PHONY: audit-dependencies
audit-dependencies: | $(BIN)/pip
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/pip -q install 'pip-audit>=2.10,<3'
	.venv-audit/bin/pip-audit --strict --require-hashes --disable-pip \
		-r requirements/run.txt -r requirements/dev.txt

.PHONY: format
format: $(DEV_STAMP)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Not `python -m pytest`: that would find the modules of this folder before the built wheel.
.PHONY: test-lowest
test-lowest: $(UV)
	rm -rf .venv-lowest
	$(UV) venv --quiet --python $(BIN)/python .venv-lowest
	$(UV) pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct \
		--only-binary :all: --no-binary reverse-etl '.[dev]'
	.venv-lowest/bin/pytest

.PHONY: requirements
requirements: $(UV)
	$(UV_COMPILE) $(UPGRADE) pyproject.toml requirements/build.in \
		--extra postgres --extra dev -o requirements/dev.txt
	$(UV_COMPILE) $(UPGRADE) pyproject.toml requirements/build.in \
		--extra postgres -c requirements/dev.txt -o requirements/run.txt
	$(UV_COMPILE) $(UPGRADE) pyproject.toml requirements/build.in \
		--extra docs -c requirements/dev.txt -o requirements/docs.txt

.PHONY: clean
clean:
	rm -rf $(VENV) .venv-* mutants build dist site .hypothesis .import_linter_cache .mypy_cache \
		.pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment -----------------------------------------------------------------------

# pip is the last thing that venv installs, so it stands for a whole environment. Without the
# Debian package python3-venv the command leaves half a one behind.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo '$(PYTHON) is older than 3.11; name another one: make PYTHON=python3.12' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo 'python3 cannot make environments; on Debian: apt-get install python3-venv' >&2; exit 1; }

$(RUN_STAMP): requirements/run.txt pyproject.toml | $(BIN)/pip
	@echo 'Installing into $(VENV) (once, less than a minute) ...'
	@$(PIP_INSTALL) -r requirements/run.txt
	@$(PIP_SELF)
	@touch $@

$(DOCS_STAMP): requirements/docs.txt pyproject.toml | $(BIN)/pip
	@echo 'Installing into $(VENV) with what makes the site (once, less than a minute) ...'
	@$(PIP_INSTALL) -r requirements/docs.txt
	@$(PIP_SELF)
	@touch $@

# The development pins hold the others at the same versions, so this serves `make demo` and
# `make docs` too.
$(DEV_STAMP): requirements/dev.txt requirements/run.txt requirements/docs.txt pyproject.toml | $(BIN)/pip
	@echo 'Installing into $(VENV) with the development tools (once, about a minute) ...'
	@$(PIP_INSTALL) -r requirements/dev.txt
	@$(PIP_SELF)
	@touch $(RUN_STAMP) $(DOCS_STAMP) $@

# Only for maintainers of the pins, hence not among them.
$(UV): | $(BIN)/pip
	@$(PIP) install 'uv>=0.13,<0.14'

# make demo starts everything on this machine; `make` alone lists what else there is.
.DEFAULT_GOAL := help
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
PY := .venv/bin/python
export PYTHON

ONCE ?=
DATA ?=
BUDGET ?=
PORT ?=
demo_options = $(if $(filter-out 0,$(ONCE)),--once) $(if $(DATA),--data "$(DATA)") \
	$(if $(BUDGET),--budget "$(BUDGET)") $(if $(PORT),--port "$(PORT)")
TESTS ?= tests
# One process per core, each with a folder, a database and a Redis of its own; a file stays in one.
SIDE_BY_SIDE = -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
PRODUCTION = env DJANGO_SETTINGS_MODULE=webapp.settings.production ALLOWED_HOSTS=kintsugi.example \
	SECRET_KEY=only-to-run-the-checks-$$($(PY) -c 'print("0aB-" * 16)') \
	DATABASE_URL=postgres://check@localhost/check REDIS_URL=redis://:check@localhost/0

.PHONY: help demo install dev browser test test-long lint format bench screenshots messages clean

help:  ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: install  ## start everything here (ONCE=1 DATA=folder BUDGET=minutes PORT=number)
	@exec $(PY) manage.py demo --install-seconds "$$(cat .venv/.install-seconds)" $(demo_options)

install:
	@sh deploy/install.sh run

dev:
	@sh deploy/install.sh dev

browser:
	@sh deploy/browser.sh

test: dev browser  ## unit, integration, contract and browser tests (TESTS=path to run some)
	@$(PY) -m pytest $(SIDE_BY_SIDE) -m "not long and not gpu" $(TESTS)

test-long: dev browser  ## the tests that take long
	@$(PY) -m pytest -m long $(TESTS)

lint: dev  ## style, types, which way imports point, migrations, production checks
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy ml inspection webapp
	.venv/bin/lint-imports --no-cache
	$(PY) manage.py makemigrations --check --dry-run
	$(PRODUCTION) $(PY) manage.py check --deploy --fail-level WARNING

format: dev  ## put the style right
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: dev  ## every script in benchmarks/, with its limit
	@$(PY) benchmarks/run_all.py

screenshots: dev browser  ## pictures of the pages for README and docs
	@$(PY) tests/functional/screenshots.py

messages: dev  ## gather the sentences of the pages and compile the translations (needs gettext)
	$(PY) manage.py makemessages -l zh_Hant --no-location --no-wrap --no-obsolete -i tests -i benchmarks -i .venv -i var
	$(PY) manage.py compilemessages -i .venv

clean:  ## remove what tools leave behind (keeps .venv and var)
	@rm -rf .ruff_cache .mypy_cache .pytest_cache .import_linter_cache build dist static-root test-artifacts
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

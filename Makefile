# make run STAGE=1      make test ARGS="-k origin"      make diff FROM=1 TO=2
# make check STAGE=3 DIR=~/mychat ARGS=--hint
# PYTHON=python3.12 chooses the Python that .venv is made with.

PYTHON =
STAGE =
DIR =
ARGS =
FROM = 1
TO = $(shell expr $(FROM) + 1 2>/dev/null)
VENV_PYTHON = .venv/bin/python

# What a shell has for its own Python: it would find no module here, or drop assertions.
unexport PYTHONSAFEPATH PYTHONOPTIMIZE PYTHONPATH PYTHONHOME

FIND = python=$$(sh tutorial/find_python.sh "$(PYTHON)")
SET_UP = $(FIND) && "$$python" tutorial/bootstrap.py
WHAT = $(or $(DIR),$(STAGE))
NAMED = if [ -z "$(STAGE)" ] || [ -z "$(DIR)" ]; then \
	echo "Name both: make $@ STAGE=3 DIR=~/mychat" >&2; exit 2; fi

.PHONY: help run check watch check-class test test-all doctor diff steps docs read setup bench-setup bench lint clean

help: ## list what make can do here
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' Makefile

# Ctrl-C is the way to stop a server. The code it leaves, 130, is no failure.
run: ## start Django and Twisted: the newest stage, or STAGE=1, or DIR=~/mychat
	@trap : INT; $(SET_UP) run && stage="$(WHAT)" && \
	$(VENV_PYTHON) -m tutorial run $${stage:+"$$stage"} || test $$? -eq 130

check: ## judge a folder of yours: STAGE=3 DIR=~/mychat; ARGS=--hint gives a hint
	@$(NAMED) && $(SET_UP) test && \
	$(VENV_PYTHON) -m tutorial check "$(STAGE)" --path "$(DIR)" $(ARGS)

watch: ## judge a folder of yours at each save, while you type: STAGE=3 DIR=~/mychat
	@trap : INT; $(NAMED) && $(SET_UP) test && \
	$(VENV_PYTHON) -m tutorial watch "$(STAGE)" --path "$(DIR)" $(ARGS) || test $$? -eq 130

check-class: ## judge every folder in one: STAGE=3 DIR=~/class ARGS="--html class.html"
	@$(NAMED) && $(SET_UP) test && \
	$(VENV_PYTHON) -m tutorial check-class "$(DIR)" --stage "$(STAGE)" $(ARGS)

test: ## run the tests, side by side; ARGS="-k origin" goes to pytest
	@$(SET_UP) test && \
	$(VENV_PYTHON) -m pytest -n auto --dist loadscope -m "not thorough" $(ARGS)

test-all: ## run every test, also those that take long
	@$(SET_UP) test && $(VENV_PYTHON) -m pytest -n auto --dist loadscope $(ARGS)

doctor: ## look for what may be in the way; with DIR=~/mychat, look into it, too
	@$(FIND) && stage="$(WHAT)" && "$$python" -m tutorial doctor $${stage:+"$$stage"}

diff: ## show the step between two stages: FROM=1 TO=2
	@$(SET_UP) run && $(VENV_PYTHON) -m tutorial diff "$(FROM)" "$(TO)"

steps: ## the stages as commits: a branch and tags here, or DIR=~/mychat, a new folder
	@$(SET_UP) run && dir="$(DIR)" && \
	$(VENV_PYTHON) -m tutorial steps $${dir:+--into "$$dir"} $(ARGS)

docs: ## build the site, strictly, into site/
	@$(SET_UP) run && NO_MKDOCS_2_WARNING=1 $(VENV_PYTHON) -m mkdocs build --strict

read: ## show the tutorial's pages at http://127.0.0.1:8080/; Ctrl-C ends it
	@trap : INT; $(SET_UP) run && $(VENV_PYTHON) -m tutorial read || test $$? -eq 130

setup: ## make .venv with everything that the other commands need
	@$(SET_UP) test

bench-setup: ## add the servers that the benchmarks compare with
	@$(SET_UP) bench

bench: bench-setup ## measure the stages beside other servers: takes minutes
	@$(VENV_PYTHON) -m benchmarks all --json benchmarks.json

lint: ## check the style of the code
	@$(SET_UP) test && $(VENV_PYTHON) -m ruff check && \
	$(VENV_PYTHON) -m ruff format --check

clean: ## remove .venv and caches; your databases stay
	@rm -rf .venv .cache site .hypothesis .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

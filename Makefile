# `make demo` and `make test` set up everything they need by themselves; see scripts/setup.sh.
export VENV ?= .venv
export PYTHON ?= python3
export ROS ?= kilted
# Bytecode is kept, whatever the shell says: else each of hundreds of processes compiles all anew.
export PYTHONDONTWRITEBYTECODE :=

PY := $(VENV)/bin/python
RUNS ?= 20000
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo closed-loop test check lint bench audit fuzz docs clean distclean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup:  ## make the virtual environment that all others use (they call it themselves)
	@bash scripts/setup.sh

demo: setup  ## simulated camera -> ivm_node -> recorder over ROS 2; pictures and figures in demo/
	$(PY) -m ivm_sim.demo $(ARGS)

closed-loop: setup  ## a cloned policy in simulation over ROS 2: ARGS="--weights POLICY.safetensors"
	$(PY) -m ivm_sim.closed_loop $(ARGS)

# Files side by side, three on two cores as nodes mostly wait, in their order: xdist's own puts the long test_turn.py last.
# Then, one after the other, what takes the time.
test: setup  ## everything: all tests, all lints
ifeq ($(ARGS),)
	@status=0; \
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m 'not alone' || status=$$?; \
	$(PY) -m pytest -m alone $$(grep -lr --include='*.py' 'mark[.]alone' tests) || status=$$?; \
	exit $$status
else
	$(PY) -m pytest $(ARGS)
endif

check: setup  ## what to run while working: quick tests and lints, under a minute
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile -m 'not slow' $(ARGS)

lint: setup  ## ruff, mypy, and ROS' own linters
	$(PY) -m pytest tests/test_lint.py tests/test_structure.py $(ARGS)

bench: setup  ## speed of the generator and of the node; writes bench.json
	$(VENV)/bin/ivm bench --json bench.json $(ARGS)

docs: setup  ## the documents as a site, in build/site
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict $(ARGS)

audit: setup  ## look the installed packages up among known vulnerabilities; needs the network
	$(VENV)/bin/pip install --quiet 'pip-audit>=2.7,<3'
	$(PY) scripts/audit.py $(ARGS)

fuzz: setup  ## give readers of strangers' files RUNS=20000 hostile inputs each; TARGETS="bag labels"
	$(VENV)/bin/pip install --quiet --editable '.[fuzz]'
	set -e; for target in $(or $(TARGETS),$$($(PY) tests/fuzz/run.py --list)); do \
	    $(PY) tests/fuzz/run.py $$target --runs $(RUNS) $(ARGS); done

clean:  ## remove caches, builds and what the demo left; keeps the virtual environment
	rm -rf build dist install log demo bench.json fuzz *.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean  ## clean, and remove the virtual environment
	rm -rf .venv

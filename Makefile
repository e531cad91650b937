# Two commands: `make bench` (install, run the quick grid, render results/leaderboard.md) and `make test`.
# PYTHON=python3.12 make bench   picks the interpreter (3.10 or newer).

PYTHON ?= python3
VENV   := .venv
RUN    := $(VENV)/bin/python
PIP    := $(RUN) -m pip --disable-pip-version-check

.PHONY: help venv bench claims site test floors fuzz chaos full-gpu papers-full perf perf-gpu gpu-bundle gpu gpu-merge lint clean
.DELETE_ON_ERROR:

help:  ## say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1\t/' | expand -t 16

venv: $(VENV)/.installed  ## install into .venv, with exact versions

# without the LPIPS weights everything works but LPIPS, whose column says why
bench: $(VENV)/.installed  ## run the quick grid and render results/leaderboard.md
	@$(RUN) -m bench fetch lpips || echo "warning: no LPIPS weights, so no LPIPS in the scores; later: $(RUN) -m bench fetch lpips" >&2
	$(RUN) -m bench run --grid quick

claims: $(VENV)/.installed  ## test what the papers claim on the published rows and write results/claims.md
	$(RUN) -m bench claims

site: $(VENV)/.installed-site  ## the board in the browser: plain pages in .reconbench/site
	$(RUN) -m bench site

# A file is one process's: what it trains is trained once. A process takes a core and a gigabyte; JOBS=0 runs all in one.
# The longest tests are named at the end.
JOBS ?= auto

test: $(VENV)/.installed-dev  ## run the whole test suite, files side by side
	@$(RUN) -m bench fetch lpips || echo "warning: no LPIPS weights: the tests of LPIPS values will be skipped" >&2
	$(RUN) -m pytest -n $(JOBS) --maxprocesses 8 --dist loadfile --no-loadscope-reorder --durations=15

# Torch stays at the version of constraints.txt: an older one comes from its index as a build for CUDA, which is gigabytes. FLOORS_KEEP= tests
# its floor too. What dependencies depend on (click under typer) is the newest, as whoever installs today gets it.
FLOORS_KEEP ?= torch torchvision
FLOORS := .venv-floors
FLOORS_PIP := $(FLOORS)/bin/python -m pip --disable-pip-version-check install --quiet --upgrade -c $(FLOORS)/floors.txt

floors: | $(VENV)/bin/python  ## test with the oldest versions that pyproject.toml allows, in .venv-floors
	@$(RUN) -m venv --clear $(FLOORS) >/dev/null 2>&1 || { $(RUN) -m venv --clear --without-pip $(FLOORS) && $(FLOORS)/bin/python .ci/get_pip.py; }
	FLOORS_KEEP="$(FLOORS_KEEP)" $(FLOORS)/bin/python .ci/floors.py > $(FLOORS)/floors.txt
	$(FLOORS_PIP) torch
	$(FLOORS_PIP) -e '.[dev]'
	$(FLOORS)/bin/python -m pytest -o timeout=600 --tb=short tests/test_floors.py tests/test_store.py tests/test_remote_store.py tests/cli/test_cli.py

fuzz: $(VENV)/.installed-dev  ## random input and damaged files: a hundred thousand cases, other ones each time
	RECONBENCH_FUZZ=60 $(RUN) -m pytest -m fuzz -o timeout=0

chaos: $(VENV)/.installed  ## torment a run: kills, a full disk, a jumping clock, damaged files; every cell must come out whole (minutes)
	$(RUN) -m tests.chaos

perf: $(VENV)/.installed  ## time it beside the alternatives and write results/perf.md (about a quarter of an hour)
	$(RUN) -m tests.perf

perf-gpu: $(VENV)/.installed  ## the rows of it that need a CUDA device; writes results/perf_gpu.md
	$(RUN) -m tests.perf --only gpu --page perf_gpu

# For a machine with a device, PyTorch for CUDA, and no network: `make gpu-bundle` here, carry the checkout and the folder, `make gpu` there,
# carry gpu-out back, `make gpu-merge` here. GPU_PYTHON is the Python there; PYTHON is used as it is there, without .venv.
GPU_PYTHON ?= 3.12
BUNDLE     ?= gpu-bundle
MINUTES    ?= 8
GPU_OUT    ?= gpu-out
DEVICE     ?= cuda

gpu-bundle: $(VENV)/.installed-dev  ## wheels, data sets (BENCH_DATA) and weights for `make gpu` on a machine without a network, into BUNDLE
	@$(RUN) -m bench fetch lpips || echo "warning: no LPIPS weights: LPIPS will be null there" >&2
	$(RUN) -m tests.gpu.bundle $(BUNDLE) --python $(GPU_PYTHON)

gpu:  ## on a machine with a CUDA device: self-test, timings, grids, for MINUTES; goes on where it stopped
	$(PYTHON) -m tests.gpu --minutes $(MINUTES) --bundle $(BUNDLE) --out $(GPU_OUT) --device $(DEVICE)

gpu-merge: $(VENV)/.installed  ## take what `make gpu` wrote into results/
	$(RUN) -m tests.gpu.merge $(GPU_OUT)

full-gpu: $(VENV)/.installed  ## the informed adversary at full scale, for a CUDA device (BENCH_DATA or fetch mnist)
	$(RUN) -m bench run --grid mnemonist2023 --scale full --device cuda

papers-full: $(VENV)/.installed  ## on a CUDA device: the two KKT papers at their own scale, data-set size and width too
	$(RUN) -m bench run --grid haim2022 --scale full --device cuda
	$(RUN) -m bench run --grid buzaglo2023 --scale full --device cuda
	$(RUN) -m bench run --grid dataset_size --scale full --device cuda
	$(RUN) -m bench run --grid width --scale full --device cuda

lint: $(VENV)/.installed-dev  ## check style and types
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

clean:  ## remove .venv and caches; keeps .reconbench (trained targets, reconstructions) and results
	rm -rf $(VENV) $(FLOORS) .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
	  echo "needs Python 3.10 or newer as $(PYTHON), found: $$($(PYTHON) --version 2>&1); try: PYTHON=python3.12 make" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { \
	  rm -rf $(VENV); \
	  { $(PYTHON) -m venv --without-pip $(VENV) && $(RUN) .ci/get_pip.py; } || { \
	    rm -rf $(VENV); echo "cannot make $(VENV) with $(PYTHON); try: apt install python3-venv" >&2; exit 1; }; }

# torch first and by itself, so that the build that the constraint names is there before anything that depends on it asks for another
$(VENV)/.installed: constraints.txt pyproject.toml | $(VENV)/bin/python
	$(PIP) install --quiet -c constraints.txt torch
	$(PIP) install --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-site: $(VENV)/.installed
	$(PIP) install --quiet -c constraints.txt -e '.[site]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

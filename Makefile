# `make` lists the targets. Variables: PYTHON, ARGS, PRESET, RUN, SUITE, SEEDS, BUDGET, REWARD,
# SPEC, JOBS, EXECUTOR, SWEEP, CUDA, PYTEST_ARGS.

PYTHON ?= python3
# Files as they come: sorted by their number of tests, the longest would come last.
PYTEST_ARGS ?= -n 2 --dist loadfile --no-loadscope-reorder
# Set to 12 or 13 to add jax's CUDA plugin to the environment.
CUDA ?=

VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements.lock
BASE_STAMP := $(VENV)/.stamp
STAMP := $(BASE_STAMP)$(if $(CUDA),-cuda$(CUDA))
JAX_VERSION = $(shell sed -n 's/^jax==\([^ ;]*\).*/\1/p' $(LOCK))

# uv where there is one, else venv and pip.
UV := $(shell command -v uv 2>/dev/null)
ifdef UV
TOOL := uv
READY := $(BIN)/python
CREATE = $(UV) venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV)
INSTALL = $(UV) pip install --quiet --python $(BIN)/python
else
TOOL := pip
READY := $(BIN)/pip
CREATE = $(PYTHON) -m venv $(VENV)
INSTALL = $(BIN)/python -m pip install --quiet
endif

ifneq ($(filter-out 12 13,$(CUDA)),)
$(error CUDA has to be 12 or 13, not "$(CUDA)")
endif
ifneq ($(filter evaluate explore report,$(MAKECMDGOALS)),)
ifndef RUN
$(error RUN is missing: make $(firstword $(filter evaluate explore report,$(MAKECMDGOALS))) RUN=runs/NAME)
endif
endif
ifneq ($(filter sweep wandb-sweep,$(MAKECMDGOALS)),)
ifndef SPEC
$(error SPEC is missing: make $(firstword $(filter sweep wandb-sweep,$(MAKECMDGOALS))) SPEC=experiments/sweeps/NAME.yaml)
endif
endif
ifneq ($(filter wandb-agent,$(MAKECMDGOALS)),)
ifndef SWEEP
$(error SWEEP is missing: make wandb-agent SWEEP=ID, as make wandb-sweep printed it)
endif
endif
ifneq ($(filter sweep-status,$(MAKECMDGOALS)),)
ifeq ($(SPEC)$(RUN),)
$(error SPEC is missing: make sweep-status SPEC=experiments/sweeps/NAME.yaml, or RUN=runs/sweeps/NAME)
endif
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup train skills evaluate explore report bench bench-compare figure ablation sweep sweep-status wandb-sweep wandb-agent test test-slow lint format lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-13s  %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv from the lock, with uv or pip (CUDA=12|13 adds jax's plugin)

train: $(STAMP) ## Train (PRESET=push-maesn, ARGS="--run-dir runs/x ...")
	@$(BIN)/python experiments/train.py $(if $(PRESET),--preset $(PRESET)) $(ARGS)

skills: $(STAMP) ## Discover skills without a reward (PRESET=push-diayn, ARGS="--run-dir runs/x ...")
	@$(BIN)/python experiments/skills.py $(if $(PRESET),--preset $(PRESET)) $(ARGS)

evaluate: $(STAMP) ## Evaluate a run on held-out tasks (RUN=runs/x, ARGS="...")
	@$(BIN)/python experiments/evaluate.py $(RUN) $(ARGS)

explore: $(STAMP) ## Draw how runs explore a held-out task (RUN="runs/x runs/y", ARGS="--task 3")
	@$(BIN)/python experiments/explore.py $(RUN) $(ARGS)

report: $(STAMP) ## Write a page on finished runs (RUN="runs/x runs/y", ARGS="--out page.html")
	@$(BIN)/python experiments/report.py $(RUN) $(ARGS)

bench: $(STAMP) ## Measure speed, compile time and memory (ARGS="--sections all")
	@$(BIN)/python experiments/bench.py $(ARGS)

bench-compare: $(STAMP) ## Compare the last benchmark with the one before (ARGS="--fail-below 0.9")
	@$(BIN)/python experiments/bench_compare.py $(ARGS)

figure: $(STAMP) ## Train what is missing and draw all methods (SUITE=push SEEDS=3 BUDGET=small)
	@$(BIN)/python experiments/figure.py $(if $(SUITE),--suite $(SUITE)) \
	  $(if $(SEEDS),--seeds $(SEEDS)) $(if $(BUDGET),--budget $(BUDGET)) $(ARGS)

ablation: $(STAMP) ## Train what is missing and take the hierarchy apart (REWARD=sparse|dense|both SEEDS=3)
	@$(BIN)/python experiments/ablation.py $(if $(REWARD),--reward $(REWARD)) \
	  $(if $(SEEDS),--seeds $(SEEDS)) $(ARGS)

sweep: $(STAMP) ## Train a sweep's runs and compare them (SPEC=... JOBS=2 EXECUTOR=local|ray|slurm)
	@$(BIN)/python experiments/sweep.py $(SPEC) $(if $(JOBS),--jobs $(JOBS)) \
	  $(if $(EXECUTOR),--executor $(EXECUTOR)) $(ARGS)

sweep-status: $(STAMP) ## Show how a sweep's runs stand (SPEC=... or RUN=runs/sweeps/x)
	@$(BIN)/python experiments/sweep_status.py $(if $(SPEC),--spec $(SPEC)) \
	  $(if $(RUN),--sweep-dir $(RUN)) $(ARGS)

wandb-sweep: $(STAMP) ## Make a W&B sweep of a spec (SPEC=experiments/sweeps/x.yaml ARGS=--dry-run)
	@$(BIN)/python experiments/wandb_sweep.py $(SPEC) $(ARGS)

wandb-agent: $(STAMP) ## Train what a W&B sweep asks for (SWEEP=explorax/ID ARGS="--count 5")
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/wandb agent --forward-signals $(ARGS) $(SWEEP)

test: $(STAMP) ## Run the tests, without the slow ones (PYTEST_ARGS="...")
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

test-slow: $(STAMP) ## Run the slow tests, one after the other
	@$(BIN)/python -m pytest -m slow

lint: $(STAMP) ## Check style, formatting, import contracts and types
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/lint-imports
	@$(BIN)/pyright

format: $(STAMP) ## Format the code and fix what the linter can
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

lock: ## Resolve the lock anew, for the jax version it has (needs uv)
	@uv pip compile pyproject.toml --extra dev --output-file $(LOCK) --quiet --upgrade \
	  --upgrade-package jax==$(JAX_VERSION) --universal --python-version 3.11 \
	  --fork-strategy fewest --generate-hashes --no-emit-index-url --no-annotate --no-header

clean: ## Remove caches and builds, never runs/
	@rm -rf build dist .import_linter_cache .pytest_cache .ruff_cache
	@find . \( -path ./$(VENV) -o -path ./runs -o -path ./.git \) -prune -o \
	  -name __pycache__ -type d -prune -exec rm -rf {} +

$(BASE_STAMP): pyproject.toml $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "error: $(PYTHON) is not Python 3.11 or newer; try make PYTHON=python3.11" >&2; exit 1; }
	@echo "Installing $(LOCK) into $(VENV) with $(TOOL)"
	@test -x $(READY) || $(CREATE)
	@$(INSTALL) --require-hashes -r $(LOCK)
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(BASE_STAMP)-cuda%: $(BASE_STAMP)
	@echo "Installing jax $(JAX_VERSION) for CUDA $*"
	@$(INSTALL) "jax[cuda$*]==$(JAX_VERSION)"
	@touch $@

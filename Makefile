# Gyrfalcon. `make` lists the targets; `make run` and `make test` need nothing but Python 3.11 and make.

CONFIG ?= configs/quickstart.yaml
RUN    ?= runs/$(basename $(notdir $(CONFIG)))
PORT   ?= 8000
ARGS   ?=
PYTHON ?= python3
VENV   ?= .venv
NVTABULAR_VENV ?= .venv-nvtabular
DEVICE ?= cpu

BIN       := $(VENV)/bin
GYRFALCON := $(BIN)/gyrfalcon
LOCKS     := requirements/cpu.txt pyproject.toml requirements/setup.sh
COMPOSE   := docker compose --file docker/compose.yaml --profile $(DEVICE)

# Each stamp is written last, so a setup that was cut short is done again.
READY      := $(VENV)/.ready
READY_TEST := $(VENV)/.ready-test
READY_NVTABULAR := $(NVTABULAR_VENV)/.ready

# The GPU check runs in an environment of its own where one is named: make gpu-check GPU_PYTHON=python3
GPU_PYTHON ?=

.DEFAULT_GOAL := help
.PHONY: help setup run test test-nvtabular check lint type plan-check bench bench-etl bench-train bench-accuracy etl train evaluate \
        export serve report gpu-check docker-build docker-run clean distclean

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\n  %s\n' 'CONFIG=$(CONFIG)  RUN=$(RUN)  ARGS="--set train.ranker.epochs=3"  PYTHON=$(PYTHON)'

$(READY): $(LOCKS)
	@PYTHON='$(PYTHON)' requirements/setup.sh '$(VENV)'
	@touch $@

$(READY_TEST): $(LOCKS) requirements/test.txt | $(READY)
	@PYTHON='$(PYTHON)' requirements/setup.sh '$(VENV)' test
	@touch $(READY) $@

$(READY_NVTABULAR): requirements/nvtabular.txt pyproject.toml requirements/setup.sh
	@PYTHON='$(PYTHON)' requirements/setup.sh '$(NVTABULAR_VENV)' nvtabular
	@touch $@

setup: $(READY) ## make the environment in .venv (the others do it on first use)

run: $(READY) ## everything: ETL, training, evaluation, export, report
	$(GYRFALCON) run $(CONFIG) $(ARGS)

etl train evaluate export: %: $(READY)
	$(GYRFALCON) $@ $(CONFIG) $(ARGS)
etl: ## the features and splits of CONFIG
train: ## the models of CONFIG, and what they need
evaluate: ## their metrics on the test split
export: ## the bundle that serves them

report: $(READY) ## report.html of RUN
	$(GYRFALCON) report $(RUN) $(ARGS)

serve: $(READY) ## answer requests with the bundle of RUN on PORT
	$(GYRFALCON) serve $(RUN)/bundle --port $(PORT) $(ARGS)

test: $(READY_TEST) ## the tests (those that need a GPU are left out)
	$(BIN)/python -m pytest $(ARGS)

# Only the files that hold such tests: others import what this environment doesn't have.
test-nvtabular: $(READY_NVTABULAR) ## the comparison with NVTabular, in an environment of its own
	$(NVTABULAR_VENV)/bin/python -m pytest -m nvtabular $(ARGS) $$(grep -rl --include='test_*.py' 'mark[.]nvtabular' tests)

check: lint type plan-check ## what a change must pass beside the tests

lint: $(READY_TEST) ## ruff and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

type: $(READY_TEST) ## mypy, strict
	$(BIN)/mypy

# Whether each operator's plan stays on the GPU, told without one. It needs a planner that lives outside this
# repository and says how it is named; without it, it says so and passes.
plan-check: $(READY_TEST)
	$(BIN)/python -m tests.tools.plan_check

bench: $(READY_TEST) ## figures; they gate nothing
	$(BIN)/python -m pytest tests/bench -m bench -s $(ARGS)

bench-etl: $(READY_TEST) ## the ETL beside NVTabular and beside a script in Polars, into docs/etl_figures.md
	$(BIN)/python -m tests.bench.bench_etl --nvtabular $(NVTABULAR_VENV)/bin/python $(ARGS)

bench-train: $(READY_TEST) ## training beside other libraries (GYRFALCON_PEERS), into docs/train_figures.md
	$(BIN)/python -m tests.bench.bench_peers $(ARGS)

bench-accuracy: $(READY_TEST) ## configs beside published figures (GYRFALCON_REAL_DATA), into docs/train_figures.md
	$(BIN)/python -m tests.bench.bench_accuracy $(ARGS)

ifeq ($(GPU_PYTHON),)
gpu-check: $(READY_TEST)
	$(BIN)/python -m tests.gpu.check $(ARGS)
else
gpu-check:
	$(GPU_PYTHON) -m tests.gpu.check $(ARGS)
endif
gpu-check: ## on a CUDA machine: the GPU tests and figures, into docs/gpu/

docker-build: ## the image for DEVICE=cpu or DEVICE=gpu
	$(COMPOSE) build $(ARGS)

docker-run: ## one run of CONFIG, then the server, in containers
	CONFIG=$(CONFIG) RUN=$(RUN) PORT=$(PORT) $(COMPOSE) up $(ARGS)

clean: ## remove caches and builds, not .venv and not runs
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . \( -path ./$(VENV) -o -path ./$(NVTABULAR_VENV) \) -prune -o -name __pycache__ -type d -exec rm -rf {} +

distclean: clean ## the same, and the environments
	rm -rf $(VENV) $(NVTABULAR_VENV)

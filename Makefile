# Every target is one line of help; `make` alone prints them.
PROFILE ?= pocket
PYTHON ?= python3

# What a user writes reaches a recipe through the environment alone, as "$$NAME", so that neither make nor a shell reads a command in it.
WRITTEN = PROFILE PYTHON CORES EXECUTOR ENGINE GPU RESOLVED PREDICTIONS LABELS BENCHMARK CELLS SEED A B BENCH GPU_OPTIONS ROUNDS
$(foreach name,$(WRITTEN),$(eval override $(name) := $$(value $(name))))
export $(WRITTEN)

export PYTHONPATH := $(CURDIR)
export PYTHONHASHSEED := 0
export TOKENIZERS_PARALLELISM := false
# pip is told not to compile, since what is imported is compiled on the way; where that may not be kept, every start takes seconds longer.
unexport PYTHONDONTWRITEBYTECODE
RUN = .venv/bin/python -m xtools
OPTIONS = "$$PROFILE" $${CORES:+--cores="$$CORES"} $${EXECUTOR:+--executor="$$EXECUTOR"} $${ENGINE:+--engine="$$ENGINE"}
PIP = .venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check
# What an executor needs beside.
PLUGIN = $(if $(filter slurm,$(EXECUTOR)),.venv/slurm.lock)
# An environment that .venv only leads to is used, and left as it is.
OWN = test ! -L .venv || { echo ".venv leads to an environment that is not this project's own, so it is left as it is; install $< there, then cp $< $@, or remove the link" >&2; exit 2; }

.DEFAULT_GOAL := help
.PHONY: help study timing reference keep report plan fetch site submission score verify compare bench gpu backbones calibrate components torture statistics lab prune test lint lock clean

help: ## print this list
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo "Options: PROFILE=<file in params/> (default pocket), CORES=<cells at a time>, ENGINE=\"<more words for Snakemake>\","
	@echo "         EXECUTOR=slurm for cells as jobs of a cluster, by profiles/slurm/config.yaml"

.venv/lock: requirements.lock
	@$(OWN)
	@test -x .venv/bin/python || "$$PYTHON" -c "import sys; sys.version_info < (3, 11) and sys.exit('Python 3.11 or newer is needed: make PYTHON=python3.12')"
	@echo "making .venv from requirements.lock (once, a few minutes)"
	@"$$PYTHON" -m venv --clear .venv
	@$(PIP) -r $<
	@cp $< $@

.venv/%.lock: requirements-%.lock .venv/lock
	@$(OWN)
	@$(PIP) -r $<
	@cp $< $@

study: .venv/lock $(PLUGIN) ## run what is missing of a study, then its report
	@$(RUN) study $(OPTIONS)

timing: .venv/lock $(PLUGIN) ## run a study's timing alone: latency, throughput, FLOPs, memory, energy
	@$(RUN) timing $(OPTIONS)

reference: .venv/lock ## keep a study's timing in results/, for reports made on other machines to show beside their own
	@$(RUN) reference $(OPTIONS)

keep: .venv/lock ## keep a finished study's records, scores and report in results/, from which make report makes it again anywhere
	@$(RUN) keep $(OPTIONS)

report: .venv/lock ## rebuild the report from the records alone
	@$(RUN) report $(OPTIONS)

plan: .venv/lock ## show a study's cells, downloads, disk, FLOPs and hours, for this machine or GPU=<name>; RESOLVED=1: its parameters
	@$(RUN) plan $(OPTIONS) $${GPU:+--gpu="$$GPU"} $${RESOLVED:+--resolved}

fetch: .venv/lock ## download everything a study needs, to run it offline afterwards
	@$(RUN) fetch $(OPTIONS)

site: .venv/lock ## an index page of a study's report and every executed notebook, to read offline
	@$(RUN) site $(OPTIONS)

submission: .venv/lock ## write a study's predictions in XTREME's layout, and Tatoeba and BUCC as MTEB's results
	@$(RUN) submission $(OPTIONS)

score: .venv/lock ## score PREDICTIONS=<folder> against LABELS=<folder>, both in XTREME's layout (BENCHMARK=xtreme or xtreme_r)
	@$(RUN) score "$$PREDICTIONS" "$$LABELS" --benchmark="$${BENCHMARK:-xtreme}"

backbones: .venv/lock ## make the published backbones again where they are missing or outdated
	@$(RUN) backbones $(OPTIONS)

verify: .venv/lock ## run CELLS=3 of a finished study's cells again (SEED=0 draws them) and tell what differs from their records
	@$(RUN) verify $(OPTIONS) $${CELLS:+--cells="$$CELLS"} $${SEED:+--seed="$$SEED"}

compare: .venv/lock ## by how much the scores of two studies, or folders of records, differ: A=<study or folder> B=<study or folder>
	@$(RUN) compare "$$A" "$$B"

bench: .venv/lock ## measure training, inference, cells and search against the Hugging Face Trainer, papermill and the product
	@set -f; .venv/bin/python -m xtools.run.bench $$BENCH

gpu: ## measure this machine's GPU in eight minutes: agreement, speed, memory, latency; with torch, transformers and safetensors alone
	@set -f; test ! -x .venv/bin/python || PYTHON=.venv/bin/python; "$$PYTHON" -m xtools.run.gpu $$GPU_OPTIONS

calibrate: .venv/lock ## sweep the microworld's task sizes and print the table
	@$(RUN) calibrate $(OPTIONS)

components: .venv/lock ## tell a gain's noise of pretraining from that of fine-tuning, from a study's records: results/components.csv
	@$(RUN) components $(OPTIONS)

torture: .venv/lock ## kill processes of a small study at random, ROUNDS=50 times, and see that nothing is lost (SEED=0)
	@.venv/bin/python -m xtools.run.torture --rounds="$${ROUNDS:-50}" --seed="$${SEED:-0}"

statistics: .venv/lock ## hold the report's tests against simulated studies with known effects: results/statistics.csv
	@$(RUN) statistics

lab: .venv/lock ## open JupyterLab; a double click on notebooks/*.py opens it as a notebook
	@mkdir -p .venv/share/jupyter/lab/settings
	@echo '{"@jupyterlab/docmanager-extension:plugin": {"defaultViewers": {"python": "Jupytext Notebook"}}}' > .venv/share/jupyter/lab/settings/overrides.json
	@.venv/bin/jupyter lab --notebook-dir=. notebooks/tour.py

test: .venv/lock ## run the tests
	@.venv/bin/python -m pytest -n auto

lint: .venv/lock ## check style, types and that the notebooks' text is as jupytext writes it
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy xtools
	@.venv/bin/jupytext --test --to ipynb -q notebooks/*.py notebooks/howto/*.py

lock: ## write requirements.lock anew from pyproject.toml
	@rm -rf .venv-lock && "$$PYTHON" -m venv .venv-lock
	@.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 ".[test,bench]"
	@{ echo "# Exact versions, written by make lock from pyproject.toml; do not edit."; \
	   .venv-lock/bin/python -m pip freeze --exclude xtools | sed 's/^torch==\([0-9.]*\)+.*/torch==\1/'; } > requirements.lock
	@.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check ".[cluster]"
	@{ head -1 requirements-slurm.lock; .venv-lock/bin/python -m pip freeze | grep ^snakemake-executor-plugin-slurm; } > .venv-lock/slurm.lock
	@cp .venv-lock/slurm.lock requirements-slurm.lock
	@rm -rf .venv-lock build *.egg-info

prune: .venv/lock ## remove the cells in runs/ that no study has any more, such as those of parameters of before
	@$(RUN) prune

clean: ## remove what studies wrote (runs/); the environment and the backbones stay
	@rm -rf runs

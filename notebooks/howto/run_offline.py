# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---
# %% [markdown]
# # Offline, on a cluster
#
# Compute nodes often have no network. One command needs it, everything else does not. Here it is shown in a copy of the project in a
# temporary folder, with a study of the microworld, which downloads nothing at all.
#
# | where | command | network |
# |---|---|---|
# | login node | `make fetch PROFILE=<study>` | yes: everything that the study reads, each data set and encoder at one commit |
# | login node | `make plan PROFILE=<study> GPU=<name>` | no: cells, disk, hours, and what is not there yet |
# | anywhere | `HF_HUB_OFFLINE=1 make study PROFILE=<study> ENGINE="--executor slurm ..."` | no |
# | anywhere | `make report`, `make site`, `make compare`, `make submission` | no |
#
# `make` itself installs the environment on its first call, from the package index: call it once on the login node. The cache of fetched files
# lies in `HF_HOME`; set it to a folder that the nodes see.

# %%
import os

from xtools.run.trial import Trial

os.environ["HF_HUB_OFFLINE"] = "1"  # from here on nothing may reach for the network
trial = Trial()

# %% [markdown]
# ## Is everything there?
#
# A study whose data was not fetched says so before a cell starts, and lists all that is missing; this is its last line.

# %%
from xtools import Problem

try:
    trial.run("study", "laptop")
except Problem as error:
    print(error)

# %% [markdown]
# ## How large is it?

# %%
STUDY = """
like: smoke
title: A small study
backbones:
  small: {load: "backbones/small-s{seed}"}
seeds: [0]
recipes: [none]
targets: [xnli]
timing: {examples: 16, repetitions: 1, batches: [1]}
"""
trial.write("params/small.yaml", STUDY)
print(trial.run("plan", "small"))

# %% [markdown]
# ## The run
#
# Snakemake hands the cells to the scheduler, one a GPU; further words for it are ENGINE's:
#
#     make study PROFILE=xtreme_r ENGINE="--executor slurm --jobs 64 --default-resources slurm_partition=gpu runtime=240"
#
# with `pip install snakemake-executor-plugin-slurm` in the environment. A job that the scheduler ends costs its cell alone.
# Here, without a scheduler, the words only let Snakemake's log show each job's command:

# %%
print(trial.run("study", "small", "--engine=--printshellcmds").splitlines()[-1])

# %% [markdown]
# The command can be given again at any time: what has a record is not run again.

# %%
print(trial.run("study", "small"))

# %% [markdown]
# ## One cell by itself
#
# What a job runs is one command, which a login node can try before hundreds of them are submitted. This cell is done, so it ends at once.

# %%
cell = trial.write("cell.py", "from xtools.run import warm\nprint('exit status', warm.run('small', 'target-small-none-xnli-s0'))\n")
print(trial.python(cell.name))

# %% [markdown]
# From a shell: `.venv/bin/python -m xtools.run.warm small target-small-none-xnli-s0`. Bring `runs/<study>` and `runs/cells` home, and
# `make report` makes the report of them anywhere.

# %% [markdown]
# The copy is thrown away.

# %%
trial.remove()
print(f"there is {'a' if trial.folder.exists() else 'no'} copy any more")

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
# # Add an encoder
#
# An encoder is one line of a study's file: where it is loaded from, or the shape of a new one. Here two encoders that come with the project
# stand for any on the Hub, in a copy of the project in a temporary folder.

# %%
from xtools.run.trial import Trial

trial = Trial()

# %% [markdown]
# ## From a folder or the Hub
#
# `load` names a folder or a Hub id, `owner/name`; with `layers` the lowest layers alone are kept, so that size varies and nothing else does.

# %%
STUDY = """
like: smoke
title: One encoder at two depths
backbones:
  whole: {load: "backbones/small-s{seed}"}
  lower: {load: "backbones/small-s{seed}", layers: 1}
seeds: [0]
recipes: [none]
targets: [xnli]
timing: {examples: 16, repetitions: 1, batches: [1]}
"""
trial.write("params/depths.yaml", STUDY).name

# %% [markdown]
# For XLM-R the lines are `base: {load: FacebookAI/xlm-roberta-base}` and the like; `make fetch` downloads it, and its commit goes into every
# record. What a study makes of its file can be asked before anything runs:

# %%
print(trial.run("plan", "depths"))

# %% [markdown]
# Six cells: each encoder is looked at, trained on XNLI and scored, and timed.

# %%
print(trial.run("study", "depths").splitlines()[-1])

# %% [markdown]
# What came out of either, from its records: weights, accuracy in the source language, milliseconds an example.

# %%
from xtools import records

found = {(record.backbone, record.phase): record.result for record in records.read_all(trial.folder / "runs/depths")}
for name in ("whole", "lower"):
    size, ms = found[name, "backbone"].parameters, found[name, "timing"].measured.latency_ms.median
    score = found[name, "target"].scores["qaa"].metrics["accuracy"]
    print(f"{name}: {size.all:,} weights, {size.embeddings:,} of them word embeddings; XNLI {score:.0f}%; {ms:.2f} ms")

# %% [markdown]
# Half the layers are more than half the weights, since the word embeddings stay, and less time. After a hundred examples neither score means
# anything: chance is 33%.
#
# ## A new one
#
# A shape instead of a place makes an encoder that the study pretrains itself, of its own text; with both, `make backbones` makes it once, a
# seed each, and keeps it where `load` says.

# %%
trial.write("params/shapes.yaml", STUDY.replace('{load: "backbones/small-s{seed}"}', "{layers: 2, hidden: 64, heads: 4}"))
print(*[line for line in trial.run("plan", "shapes", "--resolved").splitlines() if "whole" in line or "hidden: 64" in line], sep="\n")

# %% [markdown]
# What cannot be is told in one line, before anything runs:

# %%
from xtools import Problem

trial.write("params/wrong.yaml", STUDY.replace("layers: 1", "layer: 1"))
try:
    trial.run("plan", "wrong")
except Problem as error:
    print(error)

# %% [markdown]
# An architecture that is not among those of `tests/test_architectures.py` works where transformers gives it a plain encoder; run that test
# with its config before you trust it. So that `make plan` can count without a download, add its shape to `params/ledgers/encoders.yaml`.

# %% [markdown]
# The copy is thrown away.

# %%
trial.remove()
print(f"there is {'a' if trial.folder.exists() else 'no'} copy any more")

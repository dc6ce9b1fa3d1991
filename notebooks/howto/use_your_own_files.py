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
# # Run on your own files
#
# To have a task that the project knows run on rows of your own, CSV or JSONL, nothing is written in code: lay the files where the task
# looks for them, and name the folder in a study. For a task that it does not know see `add_a_task`.

# %%
from xtools import sources, tasks
from xtools.run.trial import Trial
from xtools.sources import Source, layout

trial = Trial()

# %% [markdown]
# ## Where a task looks
#
# Each split of a task's entry names a data set, a configuration and a split; `{lang}` is a language.

# %%
task = tasks.get("xnli")
for split, (part, *_) in task.splits.items():
    print(f"{split:>5}: {part.repo}/{part.config}/{part.split}")

# %% [markdown]
# XNLI is trained on MNLI's rows and scored on its own, so there are two data sets to lay down. Their rows here are invented, a claim about a
# colour each: the premise says one, the hypothesis the same one, another one, or that there is one.

# %%
COLOURS = {"en": ["red", "green", "blue", "white"], "de": ["rot", "grün", "blau", "weiß"]}
SAYS = {"en": ("the box is {}", "the box has a colour"), "de": ("die Kiste ist {}", "die Kiste hat eine Farbe")}

# %%
import random


def row(language: str, draw: random.Random) -> tuple[str, str, int]:
    label, (says, has) = draw.randrange(3), SAYS[language]
    one, other = draw.sample(COLOURS[language], 2)
    return says.format(one), (says.format(one), has, says.format(other))[label], label


row("en", random.Random(1))

# %% [markdown]
# ## The files
#
# The columns are those of the data set: here premise, hypothesis and label (0 entailment, 1 neutral, 2 contradiction). MNLI's as JSONL:

# %%
import json

for split, n in (("train", 600), ("validation_matched", 50)):
    draw = random.Random(split)
    rows = [dict(zip(("premise", "hypothesis", "label"), row("en", draw), strict=True)) for _ in range(n)]
    trial.write(f"data/nyu-mll/glue/mnli/{split}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

# %% [markdown]
# XNLI's as CSV, a folder a language:

# %%
import pandas as pd

for language, split in (("en", "validation"), ("en", "test"), ("de", "test")):
    draw = random.Random(f"{language} {split}")
    frame = pd.DataFrame([row(language, draw) for _ in range(50)], columns=["premise", "hypothesis", "label"])
    trial.write(f"data/facebook/xnli/{language}/{split}.csv", frame.to_csv(index=False))

# %% [markdown]
# `describe` writes the `README.md` that names them; folders fetched from the Hub have theirs.

# %%
data = trial.folder / "data"
[layout.describe(data / name) for name in ("nyu-mll/glue", "facebook/xnli")]

# %% [markdown]
# ## What is read
#
# `subset` says that the files may have other numbers of rows than the published set; the report names every such part.

# %%
source = Source(str(data), subset=True)
sources.rows(source, task, "test", "de", 2)

# %% [markdown]
# A row that cannot be trained on or scored is told by file and row, never dropped:

# %%
from xtools import Problem

broken = trial.write("broken/facebook/xnli/de/test.csv", "premise,hypothesis,label\na,b,0\nc,d,7\n")
layout.describe(broken.parent.parent)
try:
    sources.rows(Source(str(trial.folder / "broken"), subset=True), task, "test", "de")
except Problem as error:
    print(str(error).replace(str(trial.folder), "."))

# %% [markdown]
# ## The study

# %%
STUDY = """
like: smoke
title: XNLI on rows of our own
source: data
subset: true
source_language: en
languages: [en, de]
seeds: [0]
recipes: [none, mnli]
targets: [xnli]
timing: {examples: 16, repetitions: 1, batches: [1]}
"""
trial.write("params/own.yaml", STUDY)
print(trial.run("study", "own").splitlines()[-1])

# %%
from xtools import records

found = [record for record in records.read_all(trial.folder / "runs/own") if record.phase == "target"]
{record.recipe: {k: round(score.metrics["accuracy"]) for k, score in record.result.scores.items()} for record in found}

# %% [markdown]
# Accuracy in percent after either recipe, where chance is 33: a tiny encoder and some hundred rows show that the way works, and no more. What
# data was read stands in each record, as a hash of each data set's files, so changed files run their cells again.

# %%
{name: digest[:12] for name, digest in found[0].read.items()}

# %% [markdown]
# The copy is thrown away.

# %%
trial.remove()
print(f"there is {'a' if trial.folder.exists() else 'no'} copy any more")

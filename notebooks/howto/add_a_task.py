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
# # Add a task
#
# A benchmark that is not in XTREME, say topics of sentences in a JSONL file per language, becomes one entry of code and a study of a few
# lines. All of it happens here in a copy of the project in a temporary folder; in your own checkout you edit the same files by hand.

# %%
import json
import random

from xtools.run.trial import Trial
from xtools.sources import layout

trial = Trial()

# %% [markdown]
# ## The data
#
# A few invented sentences stand in for it: a topic has its words, and each language its own way to put them.

# %%
WORDS = {
    "en": (["goal team race", "salt oven soup", "rain wind cloud"], "about the {} and the {}"),
    "de": (["Tor Team Rennen", "Salz Ofen Suppe", "Regen Wind Wolke"], "über {} und {}"),
    "fr": (["but team course", "sel four soupe", "pluie vent nuage"], "sur {} et {}"),
}

# %% [markdown]
# A row is what you like it to be: here a text and the number of its topic.


# %%
def row(language: str, draw: random.Random) -> dict:
    topics, pattern = WORDS[language]
    topic = draw.randrange(len(topics))
    return {"text": pattern.format(*draw.sample(topics[topic].split(), 2)), "topic": topic}


row("en", random.Random(0))

# %% [markdown]
# Files lie as on the Hub, `<owner>/<name>/<configuration>/<split>.jsonl`, with a language a configuration. Of English there are training and
# development rows, of every language test rows.

# %%
splits = [("en", "train", 400), ("en", "validation", 60), *((language, "test", 60) for language in WORDS)]
for language, split, n in splits:
    draw = random.Random(f"{language} {split}")
    text = "".join(json.dumps(row(language, draw), ensure_ascii=False) + "\n" for _ in range(n))
    trial.write(f"data/ours/topics/{language}/{split}.jsonl", text)
layout.describe(trial.folder / "data/ours/topics")

# %% [markdown]
# `describe` wrote the `README.md` that names each configuration's files, and gives back the configurations. A data set that you fetched from
# the Hub has one already.
#
# ## The task
#
# One entry in the list of its format: a name, the format, the metric, the maker of its rows in the microworld (none), where each split lies
# and how a row of the file becomes a row of the format, here of one text, so that the second is empty.

# %%
ENTRY = """
    Task("topics", "classification", "accuracy", "", {
            split: Hub("ours/topics", "{lang}", file, lambda row: {"text_a": row["text"], "text_b": "", "label": row["topic"]})
            for split, file in (("train", "train"), ("dev", "validation"), ("test", "test"))},
        labels=("sport", "kitchen", "weather"), languages=("en", "de", "fr"), chance=100 / 3),
"""
trial.insert("xtools/tasks/classification.py", after="TASKS = [", text=ENTRY.strip("\n"))

# %% [markdown]
# All fields stand in `xtools/tasks/entry.py`; CONTRIBUTING has a task of pairs, and a whole new format. With `rows=` an entry says how many
# rows the published split has, and any other number is then told before anything runs. An entry that is to stay with the project names a
# maker too, since the project's tests go through the rows of every task in the microworld.
#
# ## The study
#
# `like: smoke` brings a tiny encoder, which is made on the way from the rows' own text. For a real one write
# `base: {load: FacebookAI/xlm-roberta-base}`.

# %%
STUDY = """
like: smoke
title: Topics of sentences, by a tiny encoder
source: data
source_language: en
languages: [en, de, fr]
seeds: [0]
recipes: [none]
targets: [topics]
intermediate: null
target: {epochs: 30, batch_size: 32, max_length: 64, learning_rate: 2e-3}
timing: {examples: 16, repetitions: 1, batches: [1]}
"""
trial.write("params/topics.yaml", STUDY).name

# %% [markdown]
# ## The run
#
# In your checkout: `make study PROFILE=topics`.

# %%
print(trial.run("study", "topics"))

# %% [markdown]
# Its last line says where the report is, which now has the task in every table. The score of each language, from the cell's record:

# %%
from xtools import records

found = records.read_all(trial.folder / "runs/topics")
record = next(record for record in found if record.phase == "target")
{language: f"{score.metrics['accuracy']:.0f}%" for language, score in record.result.scores.items()}

# %% [markdown]
# English, which was trained on, is learned. The others are zero-shot, and this encoder, whose text was the English rows alone, can do little
# more than guess there, at about a third.

# %%
lines = len([*ENTRY.strip().splitlines(), *STUDY.strip().splitlines(), "layout.describe(folder)", "make study PROFILE=topics"])
named = (trial.folder / "runs/topics/report.html").read_text().count("topics")
print(f"{lines} lines from the files to the report, which names the task {named} times")

# %% [markdown]
# The copy is thrown away.

# %%
trial.remove()
print(f"there is {'a' if trial.folder.exists() else 'no'} copy any more")

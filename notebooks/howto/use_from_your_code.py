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
# # Use `xtools` from your own code
#
# A handful of names, each documented (`help(xtools.table)`) and typed. Importing them is cheap: torch and the rest come with the function
# that needs them.

# %%
import xtools

print(*[name for name in xtools.__all__ if name != "ROOT"])

# %% [markdown]
# A script of your own finds the package where it is installed (`.venv/bin/pip install -e .` in the checkout) or on `PYTHONPATH`.
#
# ## A study and its scores

# %%
study = xtools.load_study("pocket")
print(f"{study.title}: {len(study.cells())} cells, {list(study.backbones)} on {study.targets}")

# %% [markdown]
# `table` reads what was measured, here what came with the project of another study: a data frame, a row a cell and language.

# %%
scores = xtools.table("laptop_folder")
scores.groupby("target").score.agg(["mean", "size"]).round(1)

# %% [markdown]
# Means over everything, which say what is there and not how good it is: `size` counts the scores of a target.
#
# ## The claims

# %%
ledger = xtools.ledger("laptop_folder")
ledger.verdict.str.split(" ").str[0].value_counts()

# %% [markdown]
# A verdict a claim and encoder: three seeds of one small encoder decide few, and claims about recipes that it lacks are `not` tested.
#
# ## What an encoder costs
#
# Any encoder, from a folder or the Hub, on any text by language; here the project's small one on words of its microworld.

# %%
from xtools.sources import world

texts = {"qaa": [" ".join(pair) for pair in world.corpus(0, 8)]}
cost = xtools.time_encoder("backbones/small-s0", texts, seconds=0.2)
print(f"{cost.measured.latency_ms.median:.2f} ms an example, {cost.measured.throughput:.0f} a second, {cost.gflops_per_example:.4f} GFLOPs")

# %% [markdown]
# Medians of this machine, while it did whatever else it did; `flags` says what makes them doubtful.

# %%
cost.measured.flags

# %% [markdown]
# ## Run a cell
#
# A cell is run with all that it starts from, once; asked again, its record is read. Here by a script in a copy of the project, so that your
# own records stay as they are.

# %%
from xtools.run.trial import Trial

SCRIPT = """
import xtools
record = xtools.run_cell("smoke", "tiny", "none", "xnli")
print({language: score.metrics for language, score in record.result.scores.items()})
print(len(xtools.table("smoke")), "scores in the table now")
"""
trial = Trial()
print(trial.python(trial.write("mine.py", SCRIPT).name))

# %% [markdown]
# ## Score a folder
#
# Predictions in XTREME's files, of any system, against labels laid out alike. Two invented answers in each of XNLI's languages, one right:

# %%
from xtools.benchmark import XTREME

for language in XTREME["xnli"]:
    trial.write(f"predictions/xnli/test-{language}.tsv", "neutral\nneutral\n")
    trial.write(f"labels/xnli/test-{language}.tsv", "neutral\nentailment\n")
xtools.score_folder(trial.folder / "predictions", trial.folder / "labels")["tasks"]["xnli"]["score"]

# %% [markdown]
# Half of them, in percent. A total is there when all tasks of the benchmark are.
#
# ## Mistakes
#
# What you can mend raises `Problem`, one line with what to do.

# %%
try:
    xtools.run_cell("smoke", "tiny", target="xnly")
except xtools.Problem as error:
    print(error)

# %% [markdown]
# The copy is thrown away.

# %%
trial.remove()
print(f"there is {'a' if trial.folder.exists() else 'no'} copy any more")

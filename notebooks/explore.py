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
# # Explore a study
#
# Any study's records as one tidy table: one row per backbone, recipe, target, seed and language. Change the parameters and run the cells
# that you need.

# %% tags=["parameters"]
study: str = "pocket"  # params/<study>.yaml

# %%
from xtools import records
from xtools.report import plots, stats
from xtools.study import load

loaded = load(study, needs_data=False)
table = records.table(loaded)
table.sample(min(5, len(table)), random_state=0)

# %% [markdown]
# Scores as the benchmark averages them, per backbone and recipe:

# %%
averages = stats.complete(stats.task_scores(table), loaded.targets)
stats.summarize(averages, ["backbone", "recipe"], "score").round(1)

# %% [markdown]
# One target across languages, one recipe against another:

# %%
target = loaded.targets[0]
chosen = table[(table.target == target) & (table.split == "test")]
chosen.pivot_table(index=["backbone", "recipe"], columns="language", values="score", aggfunc="mean").round(1)

# %% [markdown]
# Scores by language, for any choice of recipes:

# %%
own = table[table.backbone == loaded.last]
languages = list(dict.fromkeys(own.language))
plots.by_language(own, loaded.recipes[:2], languages, "two recipes")

# %% [markdown]
# Or choose in the notebook: recipes and languages of one backbone, as a figure.

# %%
plots.chooser(table, list(loaded.backbones), loaded.recipes, loaded.targets)

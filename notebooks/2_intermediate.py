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
# # Phase 2: the intermediate task
#
# The backbone is fine-tuned on English (here: the study's source language) intermediate data before it sees any target. Recipe `all`
# trains on every intermediate task of the study at once, sampled in proportion to capped size, each at its own length; rows that two tasks
# share are drawn once. `-mt` mixes in machine translations of the rows, into those of the study's languages that there are any in, `+mlm` goes on with multilingual masked-LM on the side, `@N` takes N examples, drawn by the seed.

# %% tags=["parameters"]
study: str = "pocket"  # params/<study>.yaml
backbone: str = "small"  # one of the study's backbones
recipe: str = "mnli"  # <task>[-mt][+mlm][@N]; the task may be all
seed: int = 0  # names the whole chain, pretraining included
folder: str = ""  # where the grid keeps what this notebook makes; empty: no result is kept

# %%
from xtools import cells, finetuning, restarts
from xtools.report import examples, findings, plots

run = cells.start(study, "intermediate", backbone, recipe, seed=seed, folder=folder)
encoder = run.load_encoder()
data = finetuning.recipe_data(encoder, run.study, recipe, seed)
languages = finetuning.languages(run.study, recipe)
read = ", ".join(f"{features.rows:,} x {name} in {' '.join(languages[name])}" for name, (_, features) in data.items())
print(f"{run.study.title}: {backbone}, seed {seed}, on {read}")

# %% [markdown]
# A training example of each task:

# %%
first = finetuning.first_rows(run.study, data)
plots.frame(examples.table([(name, task, first[name], None) for name, (task, _) in data.items()]), "First training example")

# %%
settings, widths = finetuning.settings(run.study, recipe), finetuning.widths(run.study, data)
beside = finetuning.beside(encoder, run.study, recipe, seed)
with run.clock("training"):
    tuned = restarts.tune(encoder, run.study, data, settings, widths, seed, run.checkpoint, beside=beside)
plots.learning_curve(tuned.curve, f"{backbone} on {recipe}")

# %% [markdown]
# Did it learn the task? Scores on the source language's development set, above chance or not:

# %%
with run.clock("scoring"):
    scores, predictions = finetuning.development_scores(encoder, tuned.heads, run.study, data)
plots.frame(finetuning.score_frame(scores), "Development scores (%)")

# %% [markdown]
# A few predictions beside the gold answers.

# %%
rows = {name: finetuning.development_rows(run.study, task) for name, (task, _) in data.items()}
plots.frame(examples.table([(k, data[k][0], rows[k], predictions[k]) for k in rows]), "Predictions on development examples")

# %% [markdown]
# ## What was found
#
# The encoder, without the heads, is what the targets start from.

# %%
result = finetuning.result(run.study, recipe, data, scores, tuned, encoder)
run.save_encoder(encoder)
run.save(result, predictions, rows)
plots.lead(findings.of_intermediate(recipe, result))

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
# # Phase 3: the target task
#
# The encoder, after its recipe, is fine-tuned on the target's source-language training set and scored in every language that the target
# has. All languages but the source are zero-shot: no label of theirs was ever seen. Not so after a recipe with `-mt` on the target's own
# training set: `xnli`, which trains on MNLI, has after `mnli-mt` seen translated training rows with their labels, so those languages are no
# longer zero-shot. Tatoeba and BUCC need no fine-tuning: the encoder's own sentence vectors are searched. `tatoeba_squad` is XTREME-R's
# Tatoeba, for which the encoder is first tuned on SQuAD, and keeps no head. MLQA is scored with the model that was trained for XQuAD.

# %% tags=["parameters"]
study: str = "pocket"  # params/<study>.yaml
backbone: str = "small"  # one of the study's backbones
recipe: str = "none"  # what came before: none, an intermediate task, or all
target: str = "xnli"  # one of the study's targets
seed: int = 0  # names the whole chain, pretraining included
folder: str = ""  # where the grid keeps what this notebook makes; empty: no result is kept

# %%
from xtools import cells, scoring, targets
from xtools.report import examples, findings, plots

run = cells.start(study, "target", backbone, recipe, target, seed, folder)
encoder = run.load_encoder()
print(f"{run.study.title}: {backbone} after {recipe}, on {target}, seed {seed}, {encoder.precision} on {encoder.device}")

# %%
with run.clock("training"):
    model = targets.prepare(encoder, run.study, target, seed, run.checkpoint, run.load_head)
plots.learning_curve(model.curve, f"{backbone} after {recipe} on {target}")

# %% [markdown]
# Scores per language. The source language was trained on; the rest is transfer.

# %%
with run.clock("scoring"):
    scores, predictions, rows = targets.score(model, run.study, backbone)
    dev = targets.development_score(model, run.study)
metric = model.task.metric
plots.scores_by_language({k: s[metric] for k, s in scores.items()}, metric, run.study.source_language, model.task.chance)

# %% [markdown]
# Every metric under its own name: parts of speech have seqeval's F1, which is what XTREME reports, and token accuracy beside it.

# %%
plots.frame(targets.metrics_frame(scores), "All metrics (%)")

# %% [markdown]
# A few predictions beside the gold answers, in the first and in the last language.

# %%
shown = [(language, model.task, rows[language], predictions[language]) for language in (next(iter(rows)), list(rows)[-1])]
plots.frame(examples.table(shown), "Predictions on test examples")

# %% [markdown]
# ## What was found
#
# The transfer gap is the source-language score minus the mean over the other languages; a smaller one means better transfer.

# %%
gap = scoring.transfer_gap({k: s[metric] for k, s in scores.items()}, run.study.source_language)
result = targets.result(model, run.study, scores, dev, gap)
run.save_model(encoder, model.head)
run.save(result, predictions, rows)
plots.lead(findings.of_target(target, run.study.source_language, result))

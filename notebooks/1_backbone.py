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
# # Phase 1: the backbone
#
# Which multilingual encoder does everything else start from? A published one is loaded and checked; a study that names a shape instead
# makes its own from nothing, by masked-LM pretraining on its unlabelled text.

# %% tags=["parameters"]
study: str = "pocket"  # params/<study>.yaml
backbone: str = "small"  # one of the study's backbones
seed: int = 0  # names the whole chain, pretraining included
folder: str = ""  # where the grid keeps what this notebook makes; empty: no result is kept

# %%
from xtools import backbones, cells, pretraining, results
from xtools.report import findings, plots

run = cells.start(study, "backbone", backbone, seed=seed, folder=folder)
entry = run.study.backbones[backbone]
print(f"{run.study.title}: {backbone}, seed {seed}; from {entry.load or 'nothing, made here'}")

# %% [markdown]
# The card says how the encoder came to be: its size, the text that it read, and the loss at the end.

# %%
with run.clock("pretraining"):
    encoder, card = backbones.obtain(run.study, backbone, seed, run.checkpoint)
run.save_encoder(encoder)
plots.frame(backbones.describe(encoder, card), "The encoder")

# %%
plots.learning_curve(card.get("curve"), "masked-LM pretraining")

# %% [markdown]
# How well does its tokenizer serve each language? More sub-words per word mean that the tokenizer saw little of a language, and that
# the same sentence costs more. The text is that of the first target's evaluation rows.

# %%
fertility = backbones.fertility(encoder, run.study)
plots.scores_by_language({k: 100 * v for k, v in fertility.items()}, "sub-words per 100 words", run.study.source_language)

# %% [markdown]
# What does it predict for a masked word? The gold token stands beside its first guess.

# %%
guesses = pretraining.guesses(encoder, backbones.sample_texts(run.study, 2))
plots.frame(guesses, "Masked tokens and the encoder's first guess", "It has no language-model head, so it predicts no words.")

# %% [markdown]
# An encoder that learnt from pictures too should find the picture that a caption tells of, best in the languages that it read most of.

# %%
title, chance = f"captions whose picture is found among {backbones.HELD_OUT}", 100 / backbones.HELD_OUT
pictures = card.get("pictures_found", {})
plots.scores_by_language(pictures, title, run.study.source_language, chance, "This encoder learnt from text alone.")

# %% [markdown]
# ## What was found

# %%
kind = encoder.config.model_type
result = results.Backbone(card=card, architecture=kind, parameters=backbones.parameters(encoder))
run.save(result)
plots.lead(findings.of_backbone(backbone, result))

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
# # Phase 4: what inference costs
#
# Latency of one example at a time, throughput of all at once, floating-point operations, memory and energy, on the targets' own evaluation
# examples with their own lengths, language by language. The timed forward pass is the one that scores, in fp32 and padded for every
# architecture; scoring may pack batches of those that can be, on a GPU, and packing is among the variants there. Each repetition is a
# process of its own; the report puts them together.

# %% tags=["parameters"]
study: str = "pocket"  # params/<study>.yaml
backbone: str = "small"  # one of the study's backbones
seed: int = 0  # the number of the repetition; the weights are those of the study's first seed
folder: str = ""  # where the grid keeps what this notebook makes; empty: no result is kept

# %%
from xtools import cells, results, targets, timing
from xtools.report import costs, findings, plots

run = cells.start(study, "timing", backbone, seed=seed, folder=folder)
settings = cells.threads(run.study.timing)
encoder = timing.comparable(run.load_encoder())  # fp32 and padded, as every architecture can run; the rest are variants
features = targets.timing_features(encoder, run.study)
exact = timing.exact(encoder, features)
print(f"{run.study.title}: {backbone}, {settings.weights} weights, tokenizer {run.tokenizer}, {encoder.precision} on {encoder.device}")

# %% [markdown]
# FLOPs follow from the architecture and the lengths alone (the formula stands in `xtools/timing.py`); time is this machine's.

# %%
times = timing.measure(encoder, features, settings)
fixed = {"precision": encoder.precision, "attention": encoder.attention, "weights": settings.weights, "tokenizer": run.tokenizer}
result = results.Timing(**exact, **fixed, measured=times)
plots.frame(costs.summary(result), "Cost of inference")

# %% [markdown]
# The tokenisation tax: the same text takes more sub-words in some languages than in others, and each costs.

# %%
plots.language_tax(result.tokens_by_language, result.measured.by_language_ms, run.study.source_language, backbone)

# %% [markdown]
# Length and batch size. If time follows the tokens, the arithmetic counts; where it is flat, most of it is fixed cost per call.

# %%
plots.sweep(result.measured.sweep, backbone)

# %%
plots.frame(costs.sweep_memory(result), "Peak GPU memory of a batch (MiB)", "Without a GPU, memory is the process's, in the first table.")

# %% [markdown]
# Other settings of precision and attention on the same examples.

# %%
plots.frame(costs.variants_frame(result), "Settings")

# %% [markdown]
# ## What was found

# %%
run.save(result)
plots.lead(findings.of_timing(backbone, result))

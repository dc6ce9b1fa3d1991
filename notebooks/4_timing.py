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
# Latency of one example at a time, throughput of all at once, and floating-point operations, on the targets' own evaluation examples
# with their own lengths. The timed forward pass is the one that scores.

# %% tags=["parameters"]
study: str = "pocket"  # params/<study>.yaml
backbone: str = "small"  # one of the study's backbones
seed: int = 0  # which of the backbone's seeds; weights do not change the cost
folder: str = ""  # where the grid keeps what this notebook makes; empty: nothing is written

# %%
from xtools import cells, plots, targets, timing

run = cells.start(study, "timing", backbone, seed=seed, folder=folder)
encoder = run.load_encoder()
features = targets.timing_features(encoder, run.study)
print(f"{run.study.title}: {backbone}, {len(features)} examples, {encoder.precision} on {encoder.device}, one thread")

# %%
measured = timing.measure(encoder, features, run.study.timing.repetitions)
plots.frame(timing.summary(measured), "Cost of inference (median over repetitions, and their range)")

# %% [markdown]
# Longer inputs cost more. If the points lie on a line, time follows the tokens; if they are flat, most of it is fixed cost per call.

# %%
plots.latency_by_length([timing.length(f) for f in features], timing.single_stream(encoder, features), backbone)

# %% [markdown]
# FLOPs follow from the architecture and the lengths alone (the formula stands in `xtools/timing.py`); time is this machine's.

# %%
exact = {"gflops_per_example": measured.pop("gflops_per_example"), "examples": len(features), "precision": encoder.precision}
run.save(exact | {"times": measured})

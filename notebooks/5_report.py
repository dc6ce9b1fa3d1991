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
# # Does English intermediate-task training help zero-shot transfer?
#
# An encoder is fine-tuned on an English (here: source-language) *intermediate* task, then on the source-language training set of a
# *target* task, and scored in languages for which it never saw a label (Phang et al. 2020).

# %% tags=["parameters"]
study: str = "pocket"  # params/<study>.yaml
folder: str = ""  # where the grid keeps what this notebook makes; empty: nothing is written

# %%
from xtools import cells, claims, plots, records, report, stats

run = cells.start(study, "report", folder=folder)
table = records.table(run.study)
headline = report.headline(run.study, table)
plots.lead(headline)

# %% [markdown]
# ## What was run

# %%
plots.frame(report.what_was_run(run.study))

# %%
missing = report.missing(run.study)
plots.frame(missing, "Cells that are missing: holes below") if len(missing) else print("No cell is missing.")

# %% [markdown]
# ## Scores
#
# Percent, averaged over the languages of each target as the benchmark does; in brackets the 95% t-interval over seeds. A seed names the
# whole chain, pretraining included. The average is over targets, and only given where every target is there.

# %%
for backbone in run.study.backbones:
    display(plots.frame(report.score_frame(run.study, table, backbone), f"{run.study.name}, {backbone}: scores (%)"))

# %% [markdown]
# ## Gains
#
# Points over recipe `none`, paired by seed. Bold in the figure: the interval excludes zero.

# %%
scores = stats.task_scores(table)
recipes = [recipe for recipe in run.study.recipes if recipe != "none"]
for backbone in run.study.backbones if recipes else ():
    own = stats.gains(scores[scores.backbone == backbone], ["backbone", "target"])
    summary = stats.summarize(own, ["recipe", "target"], "gain")
    display(plots.gain_map(summary, recipes, run.study.targets, f"{backbone}: gain over no intermediate task")) if len(summary) else None
    display(plots.frame(report.gain_frame(run.study, table, backbone), f"{run.study.name}, {backbone}: gains (points)"))

# %% [markdown]
# ## Languages
#
# The same scores language by language, averaged over the targets that have all of these languages. The first is the source.

# %%
languages = report.shared_languages(run.study)
for backbone in run.study.backbones:
    own = table[(table.backbone == backbone) & table.language.isin(languages)]
    display(plots.by_language(own, run.study.recipes, languages, f"{run.study.name}, {backbone}")) if len(own) else None

# %% [markdown]
# The transfer gap is the source-language score minus the mean over the other languages; a smaller gap means better transfer.

# %%
plots.frame(report.gap_frame(run.study, table), f"{run.study.name}: transfer gap, averaged over targets")

# %% [markdown]
# ## Accuracy against latency
#
# Latency is the median time of one example at a time on this machine; it depends on the encoder's size alone, not on its recipe.

# %%
cost = report.cost_frame(run.study, table)
plots.score_against_latency(cost, run.study.name) if len(cost) else print("no timing record, or no complete average, yet")

# %%
shown = cost.drop_duplicates("backbone")[["backbone", "latency", "throughput", "gflops"]].round(4).astype(str)
plots.frame(shown.set_axis(["backbone", "latency (ms)", "examples/s", "GFLOPs per example"], axis=1), "Cost per backbone")

# %% [markdown]
# ## Can this study answer?
#
# A generated world must leave room for effects: source scores neither at the floor nor at the ceiling, transfer that gets worse with the
# distance of a language, and an encoder's size that matters.

# %%
made = run.study.source == "microworld"
plots.frame(report.world_checks(run.study, table), run.study.name) if made else print("Real rows: nothing was generated.")

# %% [markdown]
# ## Ledger of claims
#
# Each claim is decided from the records by a test in `xtools/claims.py`: supported when the whole interval lies on the claim's side,
# contradicted when it lies on the other, undecided when it includes zero. *Known* says how surely the published figure is known: V read in
# the primary text, V2 read second-hand, A recalled and arithmetic agrees, R recalled only. The measured figure is the quantity that the
# test compares with zero.

# %%
ledger = claims.ledger(table, run.study)
plots.frame(report.ledger_frame(ledger), f"Claims against {run.study.name} ({report.scope(run.study)})")

# %%
run.save({"headline": headline, "ledger": ledger.astype(object).where(ledger.notna(), None).to_dict("records")})

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
from xtools import cells, claims, plots, questions, records, report, stats

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

# %%
subset = report.subset_frame(run.study)
plots.frame(subset, "Data sets of which this study reads a subset") if len(subset) else print("No data set is known to be a subset.")

# %% [markdown]
# ## Scores
#
# Percent, averaged over the languages of each target as the benchmark does; in brackets the 95% t-interval over seeds. A seed names the
# whole chain, pretraining included. The average is over targets, and only given where every target is there.

# %%
for backbone in run.study.backbones:
    display(plots.frame(report.score_frame(run.study, table, backbone), f"{run.study.name}, {backbone}: scores (%)"))

# %% [markdown]
# ## As the benchmarks average
#
# Group scores and totals by the definitions of XTREME and XTREME-R, over this study's languages. A group without all its tasks has none.

# %%
for name in ("xtreme", "xtreme_r"):
    for backbone in run.study.backbones:
        groups = report.benchmark_frame(run.study, table, backbone, name)
        display(plots.frame(groups, f"{run.study.name}, {backbone}: {name} groups (%)")) if len(groups) else None

# %% [markdown]
# ## Gains
#
# Points over recipe `none`, paired by seed. Bold in the figure: the interval excludes zero. The last column of the table is the p-value
# of the average gain, adjusted by Holm's method for the number of recipes.

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

# %% [markdown]
# Each repetition is a process of its own with the machine to itself; latency has its 95% interval over repetitions and its coefficient
# of variation. What made a measurement doubtful stands beside it.

# %%
plots.frame(report.timing_frame(run.study), f"{run.study.name}: cost per backbone")

# %% [markdown]
# The same examples take more sub-words, and so more time, in some languages than in others.

# %%
for backbone in run.study.backbones:
    costs = report.language_cost(run.study, backbone)
    display(plots.language_tax(*costs, run.study.source_language, backbone)) if costs else None

# %% [markdown]
# ## 1. Choosing the recipe in the source language
#
# For each target and seed the recipe with the best source-language development score is taken. Its regret is what the best recipe in
# hindsight would have scored above it, averaged over targets. Retrieval targets have no development score and cannot be chosen for.

# %%
regret = questions.regret_frame(table)
plots.frame(regret, f"{run.study.name}: gain and regret (points)") if len(regret) else print("no development scores to choose by yet")

# %% [markdown]
# ## 2. Transfer gap, single-task and multi-task, by size
#
# A smaller gap is better transfer, but a low source score makes a small gap too: read it beside the scores.

# %%
display(plots.frame(questions.gap_frame(run.study, table), f"{run.study.name}: transfer gap (points)"))
interaction = stats.show(*questions.size_interaction(run.study, table), sign=True)
print(f"multi-task minus single-task gap, last backbone minus first: {interaction} points")

# %% [markdown]
# ## 3. XTREME against XTREME-R
#
# The same runs, averaged over those of this study's targets that each benchmark has. Where the two columns differ in order, the ranking of
# recipes depends on the benchmark.

# %%
plots.frame(questions.benchmark_gains(run.study, table), f"{run.study.name}: gains by benchmark")

# %% [markdown]
# ## 4. What a gain costs in inference
#
# Intermediate training changes weights, not shapes: a recipe costs nothing at inference, and size is all that is paid for.

# %%
worth = questions.worth_frame(run.study, table)
plots.frame(worth, f"{run.study.name}: from the first backbone to the last") if len(worth) else print("no two backbones timed yet")

# %% [markdown]
# ## 5. How much intermediate data
#
# Recipes `<task>@N` train on the first N examples. Multimodal encoders are not part of this study.

# %%
amounts = questions.amounts(run.study, table)
plots.amounts(amounts, run.study.name) if len(amounts) else print("this study varies no amount of intermediate data")

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

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
folder: str = ""  # where the grid keeps what this notebook makes; empty: no result is kept

# %%
from xtools import cells, records, results
from xtools.report import blocks, centring, claims, costs, items, plots, power, questions, stats, tables

run = cells.start(study, "report", folder=folder)
table = records.table(run.study)
headline = tables.headline(run.study, table)
plots.lead(headline)

# %% [markdown]
# ## What was run

# %%
plots.frame(tables.what_was_run(run.study))

# %%
plots.frame(tables.read_frame(run.study), "Encoders and data that were read", "The records name nothing that was read.")

# %%
plots.frame(tables.missing(run.study), "Cells that are missing: holes below", "Every cell of the grid is there.")

# %%
plots.frame(tables.subset_frame(run.study), "Data sets of which this study reads a subset", "Every data set is as large as published.")

# %% [markdown]
# ## What this study can find
#
# The gain that 80% of such studies would find: the simultaneous interval of a recipe with that gain leaves zero out. The standard deviation
# is one run's, its seed's level left out.

# %%
plots.frame(power.frame(run.study, table), f"{run.study.name}: detectable gains (points)", "Nothing to tell from yet: it takes two seeds.")

# %% [markdown]
# A run that learnt nothing stays in every average; here it is counted, and beside the gains of all runs stand those without such runs.

# %%
plots.frame(tables.degenerate_frame(table), "Runs at chance on the source's development set", "Every run rose above chance.")

# %%
marked = tables.mark_at_chance(table)
for backbone in run.study.backbones if marked.at_chance.any() else ():
    both = tables.with_and_without(run.study, marked, backbone, "at_chance")
    display(plots.frame(both, f"{run.study.name}, {backbone}: average gains with and without runs at chance (points)"))

# %% [markdown]
# Where a study sets `restarts`, a run that comes to nothing is started again with another seed; beside the gains of all stand those without.

# %%
plots.frame(
    tables.restarts_frame(run.study), "Training runs that came to nothing at first", "Every training run came to something at first."
)

# %%
marked = tables.mark_restarted(run.study, table)
for backbone in run.study.backbones if marked.restarted.any() else ():
    both = tables.with_and_without(run.study, marked, backbone, "restarted")
    display(plots.frame(both, f"{run.study.name}, {backbone}: average gains with and without restarted runs (points)"))

# %% [markdown]
# ## Scores
#
# Percent, averaged over the languages of each target as the benchmark does; in brackets the 95% t-interval over seeds. A score marked † has
# no seeds, since nothing was trained and the encoder is one: its interval is over languages and test items. The average is over targets,
# and only given where every target is there.

# %%
again = items.load(run.study)
for backbone in run.study.backbones:
    wide = items.Wide(run.study, table, backbone, again)
    display(plots.frame(tables.score_frame(run.study, table, backbone, wide), f"{run.study.name}, {backbone}: scores (%)"))
plots.nothing(items.covers(run.study))

# %% [markdown]
# ## As the benchmarks average
#
# Group scores and totals by the definitions of XTREME and XTREME-R, each target in the benchmark's own languages where this study has them
# all, else in this study's. A group without all its tasks has none.

# %%
for name in ("xtreme", "xtreme_r"):
    for backbone in run.study.backbones:
        groups = tables.benchmark_frame(run.study, table, backbone, name)
        caption = f"{run.study.name}, {backbone}: {name} groups (%)"
        display(plots.frame(groups, caption, f"{backbone}: each group of {name} lacks a task in this study."))

# %% [markdown]
# ## Gains
#
# Points over recipe `none`. Seeds are blocks and recipes treatments: the 95% intervals of a column hold for all its recipes at once
# (Dunnett's method, with the variance of all recipes or the recipe's own where that is larger; * where it is plainly larger). Bold in the
# figure: the interval excludes zero. The last column says which recipes may be the best on average: with 95% the best is among them (Hsu).

# %%
scores = stats.task_scores(table)
recipes = [recipe for recipe in run.study.recipes if recipe != "none"]
for backbone in run.study.backbones:
    own = stats.gains(scores[scores.backbone == backbone], ["backbone", "target"])
    summary = blocks.summarize(own, ["target"])
    display(plots.gain_map(summary, recipes, run.study.targets, f"{backbone}: gain over no intermediate task"))
    display(plots.frame(tables.gain_frame(run.study, table, backbone), f"{run.study.name}, {backbone}: gains (points)"))

plots.nothing(items.covers(run.study))

# %% [markdown]
# The same gains for those who ask about other languages and other test items as well: the intervals are over seeds, languages and items
# (the last in twenty runs of neighbours, scored again from each cell's predictions), for all recipes of a column at once. They err on
# the wide side.

# %%
for backbone in run.study.backbones:
    wider = items.frame(run.study, table, backbone, again)
    display(plots.frame(wider, f"{run.study.name}, {backbone}: gains over seeds, languages and items (points)"))

# %% [markdown]
# Retrieval has a control: the same searches after each language's mean vector is subtracted, of its queries and of its candidates, which
# takes no label. A gain that is gone then was an offset between languages. BUCC, and sets that are held in fp16, are too large for it.

# %%
for backbone in run.study.backbones:
    both = centring.frame(run.study, backbone)
    told = f"{run.study.name}, {backbone}: retrieval as it is and centred (scores in %, gains in points)"
    display(plots.frame(both, told, "No target of this study is searched, or it has no score yet."))

# %% [markdown]
# How much more the last encoder gains than the first, and in the first row how much better it is after `none`.

# %%
plots.frame(tables.backbone_frame(run.study, table), f"{run.study.name}: last minus first encoder (points)", "There is one encoder.")

# %% [markdown]
# ## Languages
#
# The same scores language by language, averaged over the targets that have all of these languages. The first is the source.

# %%
languages = tables.shared_languages(run.study)
for backbone in run.study.backbones:
    own = table[(table.backbone == backbone) & table.language.isin(languages)]
    display(plots.by_language(own, run.study.recipes, languages, f"{run.study.name}, {backbone}"))

# %% [markdown]
# The transfer gap is the source-language score minus the mean over the other languages; a smaller gap means better transfer.

# %%
plots.frame(tables.gap_frame(run.study, table), f"{run.study.name}: transfer gap, averaged over targets")

# %% [markdown]
# ## 1. Choosing the recipe in the source language
#
# For each target and seed the recipe with the best source-language development score is taken; or, for all targets, the one whose
# intermediate task was itself learnt best. Regret is what the best recipe in hindsight would have scored above it.

# %%
answer = questions.choosing(run.study, table)
plots.answer(answer.effect, answer.limits)

# %%
regret = questions.regret_frame(run.study, table)
plots.frame(regret, f"{run.study.name}: gain and regret (points)", "There are no development scores to choose by yet.")

# %% [markdown]
# ## 2. Transfer gap, single-task and multi-task, by size
#
# The gap is the source-language score minus the mean over the other languages. Slopes are least-squares lines on the logarithm of the
# number of weights without word embeddings, one line a seed.

# %%
answer = questions.gaps(run.study, table)
plots.answer(answer.effect, answer.limits)

# %%
plots.frame(questions.gap_frame(run.study, table), f"{run.study.name}: transfer gap (points)")

# %% [markdown]
# ## 3. XTREME against XTREME-R
#
# The same runs, averaged over those of this study's targets that each benchmark has, in its own languages where this study has them all.
# Where the two columns differ in order, the ranking of recipes depends on the benchmark.

# %%
answer = questions.benchmarks(run.study, table)
plots.answer(answer.effect, answer.limits)

# %%
plots.frame(questions.benchmark_gains(run.study, table), f"{run.study.name}: gains by benchmark")

# %% [markdown]
# ## 4. What a gain costs in inference
#
# Intermediate training changes weights, not shapes, so a recipe should cost nothing at inference; scoring time with and without it tests that.

# %%
answer = questions.efficiency(run.study, table)
plots.answer(answer.effect, answer.limits)

# %%
worth = costs.worth_frame(run.study, table)
plots.frame(worth, f"{run.study.name}: from the first backbone to the last", "No two backbones have been timed yet.")

# %% [markdown]
# Latency is the median time of one example at a time on this machine; it depends on the encoder's size alone, not on its recipe. The
# dashed line is the frontier: no other point is both faster and better.

# %%
cost = costs.cost_frame(run.study, table)
plots.score_against_latency(cost, costs.frontier(cost), run.study.name)

# %% [markdown]
# Each repetition is a process of its own with the machine to itself; latency has its 95% interval over repetitions and its coefficient
# of variation. What made a measurement doubtful stands beside it.

# %%
plots.frame(costs.timing_frame(run.study), f"{run.study.name}: cost per backbone")

# %% [markdown]
# Other settings of the same encoders. Scores are always computed in fp32: what int8 and bf16 lose in accuracy is not measured here.

# %%
plots.variants(costs.variants_table(run.study), f"{run.study.name}: settings")

# %% [markdown]
# Measurements that came with the project, made elsewhere, for comparison:

# %%
plots.frame(costs.reference_frame(), "Reference measurements", "None are kept in results/.")

# %% [markdown]
# The same examples take more sub-words, and so more time, in some languages than in others.

# %%
for backbone in run.study.backbones:
    display(plots.language_tax(*costs.language_cost(run.study, backbone), run.study.source_language, backbone))

# %% [markdown]
# ## 5. How much intermediate data, in which languages, with and without pictures
#
# Recipes `<task>@N` train on N examples, drawn by the seed and nested. Languages are high-resource, low-resource or unseen by their share of the encoders'
# pretraining text.

# %%
answer = questions.amounts(run.study, table)
plots.answer(answer.effect, answer.limits)

# %%
plots.amounts(questions.amount_gains(run.study, table), run.study.name)

# %%
plots.frame(questions.needed(run.study, table), "Intermediate examples that a gain takes", "There are no amounts to compare.")

# %% [markdown]
# ## Beside published figures
#
# Where a paper gives a figure for the same encoder, recipe and target, in the same metric, over its benchmark's languages where this study
# has them all. Its test sets or settings may differ from ours.

# %%
beside = tables.side_by_side(run.study, records.table(run.study, every=True))
plots.frame(beside, "Ours and theirs", "No paper that we know has figures for these encoders.")

# %% [markdown]
# ## Can this study answer?
#
# A generated world must leave room for effects: source scores neither at the floor nor at the ceiling, transfer that gets worse with the
# distance of a language, and an encoder's size that matters.

# %%
plots.frame(tables.world_checks(run.study, table), run.study.name, "These are real rows: nothing was generated.")

# %% [markdown]
# ## Ledger of claims
#
# Each claim is decided from the records by a test in `xtools/report/claims.py`: supported when the whole interval lies on the claim's side,
# contradicted when it lies on the other, undecided when it includes zero; beside that stands how many seeds would decide, should the estimate
# and its spread stay. That there is no gain, no difference or no cost is a claim about a margin of the ledger's, by two one-sided tests.
# *Known* says how surely the published figure is known: V read in the primary text, V2 read second-hand, A recalled and arithmetic agrees,
# R recalled only. The measured figure is the quantity that the test compares with zero; the last column unfolds into the cells that it was
# computed from. `results/statistics.csv` says how often each test is wrong on simulated studies.

# %%
ledger = claims.ledger(table, run.study)
caption = f"Claims against {run.study.name} ({tables.scope(run.study)})"
plots.linked(tables.ledger_frame(ledger), tables.links(run.study, ledger), caption)

# %%
run.save(results.Report(headline=headline, ledger=tables.verdicts(ledger)))

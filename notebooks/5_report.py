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

# %% tags=["parameters"]
study: str = "pocket"  # params/<study>.yaml
folder: str = ""  # where the grid keeps what this notebook makes; empty: no result is kept

# %%
from xtools import cells, records, results
from xtools.report import centring, claims, components, costs, figures, front, items, languages, ledger, power, questions, tables

run = cells.start(study, "report", folder=folder)
table = records.table(run.study)
held, answered = claims.ledger(table, run.study), front.answers(run.study, table)
front.screen(run.study, table, answered, held)

# %% [markdown]
# ## Gains
#
# An encoder is fine-tuned on an English (here: source-language) *intermediate* task, then on the source-language training set of a *target*
# task, and scored in languages for which it never saw a label (Phang et al. 2020). Gains are points over recipe `none`. Seeds are blocks
# and recipes treatments: the 95% intervals of a target hold for all its recipes at once (Dunnett's method, with the variance of all recipes
# or the recipe's own where that is larger; * where it is plainly larger). A shape is filled where the interval excludes zero. Shaded: gains
# that fewer than 80% of such studies would find.

# %%
for backbone in run.study.backbones:
    near = power.by_target(run.study, table, backbone)
    figures.show(figures.forest(tables.gain_frame(run.study, table, backbone), f"{run.study.name}, {backbone}: gains (points)", near=near))

figures.said(f"{items.covers(run.study)} {tables.may_be_best(run.study, table)}")

# %% [markdown]
# Where several encoders of the same shape were fine-tuned alike, with several seeds each (`results/components.csv`, which came with the
# project), two questions have two answers: what a recipe does to this very encoder, were it only fine-tuned again, and what it does to
# encoders pretrained like it, which answer differently to a recipe.

# %%
two = components.both(run.study, table)
for backbone in two.backbone.unique() if len(two) else ():
    own = two[two.backbone == backbone].drop(columns="backbone")
    figures.show(figures.forest(own, f"{run.study.name}, {backbone}: average gains for whom (points)", by="gain for"))

# %%
figures.folded(components.shown(run.study), "Standard deviation of a gain over pretraining and over fine-tuning (points)")

# %% [markdown]
# The same gains for those who ask about other languages and other test items as well: the intervals are over seeds, languages and items
# (the last in twenty runs of neighbours, scored again from each cell's predictions), for all recipes of a target at once. They err on the
# wide side.

# %%
again = items.load(run.study)
for backbone in run.study.backbones:
    wider = items.frame(run.study, table, backbone, again)
    figures.show(figures.folded(wider, f"{run.study.name}, {backbone}: gains over seeds, languages and items (points)"))

# %% [markdown]
# How much more the last encoder gains than the first, and in the first row how much better it is after `none`.

# %%
figures.forest(tables.backbone_frame(run.study, table), f"{run.study.name}: last minus first encoder (points)")

# %% [markdown]
# Retrieval has a control: the same searches after each language's mean vector is subtracted, of its queries and of its candidates, which
# takes no label. A gain that is gone then was an offset between languages. BUCC, and sets that are held in fp16, are too large for it.

# %%
for backbone in run.study.backbones:
    gains = centring.gain_frame(run.study, backbone)
    figures.show(figures.forest(gains, f"{run.study.name}, {backbone}: gains in retrieval (points)", by="vectors"))

figures.said(run.study.note)

# %%
for backbone in run.study.backbones:
    scores = centring.score_frame(run.study, backbone)
    told = f"{run.study.name}, {backbone}: retrieval (%)"
    figures.show(figures.forest(scores, told, "percent", zero=False, by="vectors"))

# %% [markdown]
# Where a study sweeps the layers, the gain of each: an encoder's last layers are tuned to its task most. The first row is what `none` scores.

# %%
for backbone in run.study.backbones:
    layers = centring.layer_frame(run.study, backbone)
    figures.show(figures.folded(layers, f"{run.study.name}, {backbone}: gain in retrieval by layer (points)"))

# %% [markdown]
# ## 1. Choosing by source scores
#
# For each target and seed the recipe with the best source-language development score is taken; or, for all targets, the one whose
# intermediate task was itself learnt best. Regret is what the best recipe in hindsight would have scored above it.

# %%
front.full(answered["choosing"])

# %%
regret = questions.regret_frame(run.study, table)
figures.forest(regret, f"{run.study.name}: gain and regret (points)", by="backbone")

# %% [markdown]
# ## 2. The transfer gap, by size
#
# The gap is the source-language score minus the mean over the other languages; a smaller gap means better transfer. Slopes are
# least-squares lines on the logarithm of the number of weights without word embeddings, one line a seed.

# %%
front.full(answered["gaps"])

# %%
figures.forest(questions.gap_frame(run.study, table), f"{run.study.name}: transfer gap and its slope (points)")

# %%
figures.forest(
    tables.gap_frame(run.study, table), f"{run.study.name}: transfer gap by recipe, averaged over targets (points)", by="backbone"
)

# %% [markdown]
# Language by language, the nearest first: by how many points each lies below the source, averaged over the targets that have both. Beside
# a constructed language stands its distance from the source, from 0 to 1, beside a real one its family.

# %%
for backbone in run.study.backbones:
    gaps = languages.gap_frame(run.study, table, backbone)
    figures.show(figures.forest(gaps, f"{run.study.name}, {backbone}: gap by language (points)"))

# %% [markdown]
# ## 3. XTREME against XTREME-R
#
# The same runs, averaged over those of this study's targets that each benchmark has, in its own languages where this study has them all.
# Where the two columns differ in order, the ranking of recipes depends on the benchmark.

# %%
front.full(answered["benchmarks"])

# %%
figures.forest(questions.benchmark_gains(run.study, table), f"{run.study.name}: gains by benchmark (points)", names=["gain (points)"])

# %% [markdown]
# ## 4. Cost in inference
#
# Intermediate training changes weights, not shapes, so a recipe should cost nothing at inference; scoring time with and without it tests
# that.

# %%
front.full(answered["efficiency"])

# %% [markdown]
# Latency is the median time of one example at a time on this machine; it depends on the encoder's size alone, not on its recipe. The
# dashed line is the frontier: no other point is both faster and better.

# %%
cost = costs.cost_frame(run.study, table)
figures.frontier(cost, costs.frontier(cost), f"{run.study.name}: score against latency")

# %%
figures.folded(costs.worth_frame(run.study, table), f"{run.study.name}: from the first backbone to the last")

# %% [markdown]
# The same examples take more sub-words, and so more time, in some languages than in others.

# %%
for backbone in run.study.backbones:
    tokens, ms = costs.language_cost(run.study, backbone)
    figures.show(figures.tax(tokens, ms, run.study.source_language, f"{run.study.name}, {backbone}: tokenisation tax"))

# %% [markdown]
# Other settings of the same encoders. Scores are always computed in fp32: what int8 and bf16 lose in accuracy is not measured here. Each
# repetition is a process of its own with the machine to itself; latency has its 95% interval over repetitions and its coefficient of
# variation. What made a measurement doubtful stands beside it.

# %%
figures.settings(costs.variants_table(run.study), f"{run.study.name}: latency by setting")

# %%
figures.folded(costs.timing_frame(run.study), f"{run.study.name}: cost per backbone")

# %%
figures.folded(costs.reference_frame(), "Reference measurements, which came with the project and were made elsewhere")

# %% [markdown]
# ## 5. Amounts of data
#
# Recipes `<task>@N` train on N examples, drawn by the seed and nested. Languages are high-resource, low-resource or unseen by their share of the encoders'
# pretraining text.

# %%
front.full(answered["amounts"])

# %%
figures.curves(questions.amount_gains(run.study, table), f"{run.study.name}: gain by number of intermediate examples")

# %%
figures.folded(questions.needed(run.study, table), f"{run.study.name}: intermediate examples that a gain takes")

# %% [markdown]
# ## Ledger of claims
#
# Each claim is decided from the records by a test in `xtools/report/claims.py`: supported when the whole interval lies on the claim's side,
# contradicted when it lies on the other, undecided when it includes zero; beside that stands how many seeds would decide, should the estimate
# and its spread stay. That there is no gain, no difference or no cost is a claim about a margin of the ledger's, by two one-sided tests.
# *Known* says how surely the published figure is known: V read in the primary text, V2 read second-hand, A recalled and arithmetic agrees,
# R recalled only. The circle is the quantity that the test compares with zero, the diamond the published figure where it is of the same
# kind, of real languages; the axis is in points, or percent where the claim says so, and the same for all claims, a square-root scale.
# `results/statistics.csv` says how often each test is wrong on simulated studies.

# %%
ledger.show(held, run.study, f"Claims against {run.study.name} ({tables.scope(run.study)})")

# %% [markdown]
# ## Scores
#
# Percent, averaged over the languages of each target as the benchmark does; the intervals are 95% t-intervals over seeds. A score marked †
# has no seeds, since nothing was trained and the encoder is one: its interval is over languages and test items. The average is over
# targets, and only given where every target is there.

# %%
for backbone in run.study.backbones:
    scores = tables.score_frame(run.study, table, backbone, items.Wide(run.study, table, backbone, again))
    figures.show(figures.forest(scores, f"{run.study.name}, {backbone}: scores (%)", "percent", zero=False))

# %% [markdown]
# Group scores and totals by the definitions of XTREME and XTREME-R, each target in the benchmark's own languages where this study has them
# all, else in this study's. A group without all its tasks has none.

# %%
for name in ("xtreme", "xtreme_r"):
    for backbone in run.study.backbones:
        groups = tables.benchmark_frame(run.study, table, backbone, name)
        figures.show(figures.folded(groups, f"{run.study.name}, {backbone}: {name} groups (%)"))

# %% [markdown]
# ## Beside published figures
#
# Where a paper gives a figure for the same encoder, recipe and target, in the same metric, over its benchmark's languages where this study
# has them all. Its test sets or settings may differ from ours.

# %%
figures.folded(tables.side_by_side(run.study, records.table(run.study, every=True)), "Ours and theirs")

# %% [markdown]
# ## Can this study answer?
#
# The gain that 80% of such studies would find: the simultaneous interval of a recipe with that gain leaves zero out. The standard deviation
# is one run's, its seed's level left out.

# %%
figures.table(power.frame(run.study, table), f"{run.study.name}: detectable gains (points)")

# %% [markdown]
# A generated world must leave room for effects: source scores neither at the floor nor at the ceiling, transfer that gets worse with the
# distance of a language, and an encoder's size that matters. Where a target's training set is as small beside the others as the real one is
# (TyDiQA beside SQuAD), it is hardly learnt by itself, which is then told here.

# %%
figures.table(tables.world_checks(run.study, table), f"{run.study.name}: is there room for effects?")

# %% [markdown]
# A run that learnt nothing stays in every average; here it is counted, and beside the gains of all runs stand those without such runs.

# %%
figures.folded(tables.degenerate_frame(table), "Runs at chance on the source's development set")

# %%
marked = tables.mark_at_chance(table)
for backbone in run.study.backbones if marked.at_chance.any() else ():
    both = tables.with_and_without(run.study, marked, backbone, "at_chance")
    figures.show(figures.forest(both, f"{run.study.name}, {backbone}: average gains with and without runs at chance (points)"))

# %% [markdown]
# Where a study sets `restarts`, a run that comes to nothing is started again with another seed; beside the gains of all stand those without.

# %%
figures.folded(tables.restarts_frame(run.study), "Training runs that came to nothing at first")

# %%
marked = tables.mark_restarted(run.study, table)
for backbone in run.study.backbones if marked.restarted.any() else ():
    both = tables.with_and_without(run.study, marked, backbone, "restarted")
    figures.show(figures.forest(both, f"{run.study.name}, {backbone}: average gains with and without restarted runs (points)"))

# %% [markdown]
# ## What was run

# %%
figures.said(tables.complete(run.study, table))

# %%
figures.table(tables.missing(run.study), "Cells that are missing: holes above")

# %%
figures.folded(tables.what_was_run(run.study), f"{run.study.name}: study, code, machine and time")

# %%
figures.folded(tables.subset_frame(run.study), "Data sets of which this study reads a subset")

# %%
figures.folded(tables.lost_frame(run.study), "Answers left out since they stand nowhere in their context, and rows without any other")

# %%
figures.folded(tables.read_frame(run.study), "Encoders and data that were read")

# %%
run.save(results.Report(headline=tables.headline(run.study, table), ledger=tables.verdicts(held)))

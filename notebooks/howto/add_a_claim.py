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
# # Add a claim
#
# A claim is a sentence from a paper with a test that decides it from records. Most need no new test: they are an entry in
# `params/ledgers/claims.yaml`. Try it on results that are there, before you write it into the ledger.

# %%
import xtools

study = xtools.load_study("laptop_folder")
print(f"{study.title}: recipes {study.recipes}, targets {study.targets}")

# %% [markdown]
# These are kept with the project in `results/laptop_folder/`: real languages, one small encoder at two depths, three seeds.
#
# ## An entry
#
# The sentence, its source, what was published and how surely that is known (V: read there; R: recalled), and the test with what it is about.
# This sentence is our own, so that it needs no source but this guide.

# %%
import yaml

ENTRY = """
id: squad-helps-tydiqa
claim: SQuAD as an intermediate task improves TyDiQA
source: notebooks/howto/add_a_claim.py
published: "nothing; an example"
confidence: V
test: gain
recipe: squad_v1
target: tydiqa
"""

# %% [markdown]
# An entry is checked as a study's file is: a key that no claim has is refused.

# %%
from xtools.report import claims

claim = claims.Claim(**yaml.safe_load(ENTRY))
print(claims.TESTS[claim.test].__doc__)

# %% [markdown]
# ## Its verdict

# %%
found = xtools.ledger(study, [claim])
found[["backbone", "mean", "low", "high", "verdict"]].round(1)

# %% [markdown]
# A verdict an encoder: `supported` where the whole interval (points) lies above zero, `contradicted` below, else `undecided`, with the seeds
# that would decide. Three seeds leave intervals wide; the mean alone decides nothing.
#
# ## What it is decided by
#
# A test gets the gains over `none` in points, a row a seed and a column a recipe.

# %%
seen = claims.evidence(xtools.table(study), study)["eight"]
seen.per_target["tydiqa"].round(1)

# %% [markdown]
# ## A new test
#
# Where no test fits, write a function of a claim and what was seen that gives an interval; it is supported above zero. This one asks that a
# recipe gains more on one target than on the average of all.


# %%
def gains_more(claim, seen):
    """The recipe's gain on the target, minus its gain on the average over targets, is above zero (a t-interval over seeds)."""
    over = seen.per_target[claim.target][claim.recipe] - seen.average[claim.recipe]
    return claims.over_seeds(over)


gains_more(claim, seen)

# %% [markdown]
# In your checkout the entry goes to the end of `params/ledgers/claims.yaml`, a new test into `TESTS` of `xtools/report/claims.py`, and its
# name into `Claim.test`; CONTRIBUTING shows the three edits. `make report` then holds it against every study: nothing is run again.

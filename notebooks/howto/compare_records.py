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
# # Read and compare records
#
# Every number that the project shows stands in a record, one a cell. This guide reads those that came with the project, and compares two
# runs that differ in one setting.

# %%
import xtools
from xtools import ROOT, records

found = records.read_all(ROOT / "results/laptop_folder")
print(f"{len(found)} records, of phases {sorted({record.phase for record in found})}")

# %% [markdown]
# ## One record
#
# What was measured, of what, by which code, on what machine. The fingerprint changes with everything that the number hangs on.

# %%
record = next(record for record in found if record.target == "xnli")
print(f"{record.backbone} after {record.recipe}, seed {record.seed}: {record.fingerprint}, commit {record.commit}")
print(f"{record.machine}; {record.versions}; {record.times['seconds']:.0f} s")

# %% [markdown]
# A target's result has a score a language, each with its number of test rows, and how training went.

# %%
{language: (score.n, score.metrics) for language, score in record.result.scores.items()}

# %% [markdown]
# ## All of them as one table
#
# `table` has a row a cell and language. In `runs/` or, as here, in `results/`: it finds them.

# %%
table = xtools.table("laptop_folder")
table.sample(3, random_state=0)

# %% [markdown]
# With pandas any question is a line. XNLI by recipe and language, mean over seeds of the encoder with twelve layers:

# %%
chosen = table.query("target == 'xnli' and split == 'test' and backbone == 'twelve'")
chosen.pivot_table(index="recipe", columns="language", values="score").round(1)

# %% [markdown]
# Whether such differences are more than chance is what the report's intervals say; a mean of three seeds does not.
#
# ## Two runs
#
# Does a second epoch change anything? Two studies that differ in it alone, in a copy of the project:

# %%
from xtools.run.trial import Trial

trial = Trial()
STUDY = """
like: smoke
title: On XNLI once or twice
backbones:
  small: {load: "backbones/small-s{seed}"}
recipes: [none]
targets: [xnli]
target: {examples: 200, epochs: EPOCHS, batch_size: 32, max_length: 128, learning_rate: 1e-3}
timing: {examples: 16, repetitions: 1, batches: [1]}
"""

# %%
for name, epochs in (("once", "1"), ("twice", "2")):
    trial.write(f"params/{name}.yaml", STUDY.replace("EPOCHS", epochs))
    print(trial.run("study", name).splitlines()[-1])

# %% [markdown]
# The second found the first's cells of encoder and timing, which hang on the same. On the command line: `make compare A=once B=twice`.

# %%
xtools.compare(*[str(trial.folder / "runs" / name) for name in ("once", "twice")])

# %% [markdown]
# Points, the second minus the first, with an interval over two seeds, so wide that nothing is said but that the way works.
#
# What cannot be compared is refused with the first difference:

# %%
try:
    xtools.compare("laptop_folder", str(trial.folder / "runs/once"))
except xtools.Problem as error:
    print(str(error).replace(str(trial.folder), "."))

# %% [markdown]
# The copy is thrown away.

# %%
trial.remove()
print(f"there is {'a' if trial.folder.exists() else 'no'} copy any more")

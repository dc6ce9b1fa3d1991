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
# # A tour: from rows to a score per language
#
# What a cell of the grid does, one step at a time and small enough to run in under a minute: rows become features, features a batch, a
# batch logits and a loss; ten steps of training can be watched; a short fine-tuning is scored in every language. Nothing is kept, so
# change any line and run it again.

# %% tags=["parameters"]
study: str = "pocket"  # params/<study>.yaml
backbone: str = "large"  # one of the study's backbones
target: str = "xnli"  # one of the study's targets that are trained
seed: int = 0  # names the backbone, the order of the examples and the new head

# %%
import torch

from xtools import backbones, batching, encoder, finetuning, scoring, sources, study as studies, tasks
from xtools.report import examples, plots
from xtools.training import curve, optimizer_for

loaded, task = studies.load(study), tasks.get(target)
source, settings = loaded.source_language, loaded.target.for_task(target)
print(f"{loaded.title}: {task.name} has format {task.format}, is scored by {task.metric}, and is trained in {source} alone")

# %% [markdown]
# ## Rows
#
# A row has the same keys wherever it comes from: the microworld, the Hub, or a folder. The same facts in two languages:

# %%
languages = loaded.languages_of(target)
shown = [(language, task, sources.rows(loaded.data, task, "test", language, 2), None) for language in languages[:2]]
plots.frame(examples.table(shown, 2), "Rows")

# %% [markdown]
# ## Features
#
# The encoder's tokenizer turns text into sub-words; the task's format says how a row becomes one sequence or several, and what is to be
# predicted.

# %%
model = backbones.published(loaded, backbone, seed)
rows = sources.rows(loaded.data, task, "train", source, 640)
features = tasks.format_of(task).encode(rows, model.tokenizer, task, settings.max_length)
print(model.tokenizer.convert_ids_to_tokens(features[0]["ids"][0]))

# %% [markdown]
# ## One batch
#
# Sequences of different lengths are padded to the longest of the batch. That is why training sorts examples into buckets of like length.

# %%
batch = batching.collate(features[:8], model.tokenizer.pad_token_id)
padding = (batch["ids"] == model.tokenizer.pad_token_id).float().mean()
print(f"ids {tuple(batch['ids'].shape)}, {padding:.0%} of them padding")

# %% [markdown]
# ## Logits and loss
#
# The encoder gives a vector for each token, the head turns them into logits. A new head knows nothing: its loss lies near that of guessing.

# %%
torch.manual_seed(seed)
head = finetuning.new_head(model, task)
hidden = model.hidden(batch["ids"])
logits = head(hidden, batch)
print(f"hidden states {tuple(hidden.shape)}, logits {tuple(logits.shape)}, loss {tasks.format_of(task).loss(logits, batch):.3f} nats")

# %% [markdown]
# ## Ten steps
#
# What `xtools/training.py` does at every step: a loss, its gradient, clipped, and a step of AdamW. Here without warm-up and decay.

# %%
modules = torch.nn.ModuleDict({"encoder": model.model.base_model, "head": head}).train()
stream, optimizer = finetuning.task_stream(model, head, task, features), optimizer_for(modules, settings)
print(f"{sum(p.numel() for p in modules.parameters()):,} weights are trained, {settings.batch_size} examples a step")

# %%
losses = []
for indices in batching.training_order(stream.lengths, settings.batch_size, f"{seed}")[:10]:
    loss = stream.loss(indices)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(modules.parameters(), settings.clip)
    optimizer.step()
    optimizer.zero_grad()
    losses.append(float(loss.detach()))
plots.learning_curve(curve(losses), "ten steps")

# %% [markdown]
# ## A short fine-tuning
#
# The study's own loop with the study's settings, on 1,600 examples instead of all, from the published encoder again.

# %%
model = backbones.published(loaded, backbone, seed)
model.precision = encoder.choose_precision(loaded.precision, model.device, model.config.hidden_size)
short = finetuning.training_features(model, loaded, task, 1600, settings.max_length, seed)
heads, progress = finetuning.fine_tune(model, {target: (task, short)}, settings, seed)
plots.learning_curve(progress, f"{backbone} on {target}")

# %% [markdown]
# ## A score per language
#
# Only the source language was trained; the others are zero-shot.

# %%
scores = {}
for language in languages:
    found = sources.rows(loaded.data, task, "test", language, 100)
    scores[language] = scoring.evaluate(model, heads[target], task, found, settings.max_length, language)[0][task.metric]
plots.scores_by_language(scores, task.metric, source, task.chance)

# %% [markdown]
# ## What was found
#
# The grid does the same with all examples, every recipe, target and seed, and keeps a record of each. Next: `3_target` is the notebook of
# such a cell, `5_report` puts the records together, and `explore` has them all as one table.

# %%
gap = scoring.transfer_gap(scores, source)
average = sum(scores.values()) / len(scores)
plots.lead(
    f"After {progress['steps']} steps {backbone} scores {average:.1f} on average; the other languages lie {gap:.1f} points below {source}."
)

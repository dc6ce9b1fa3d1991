"""A training step of every format runs without the host waiting for the device; a compiled encoder learns what a plain one learns; what the
rows of a translated and of a multi-task recipe are."""

import functools
import itertools
from dataclasses import replace

import pytest
import torch
from transformers import AttentionInterface

from xtools import benchmark, encoder, finetuning, packing, pretraining, scoring, sources, study, tasks
from xtools.problems import Problem
from xtools.run import fingerprints
from xtools.sources import canonical, microworld

WORLD = sources.Source("microworld")


def loss_on_meta(name: str, tokenizer, attention: str) -> torch.Tensor:
    """The loss of a step on the meta device, which has shapes but no values: to ask it for a value is an error."""
    made = encoder.create(tokenizer, layers=2, hidden=32, heads=2, max_length=64, seed=0)
    made.model.to("meta")
    made.packed = attention == packing.NAME
    made.model.set_attn_implementation(attention)
    if name == "mlm":
        documents = [[0, *range(5, 5 + n), 2] for n in range(8, 16)]
        return pretraining.masked_lm_stream(made, documents, 0.2).loss([*range(8)])
    task = sources.complete(WORLD, tasks.get(name))
    features = scoring.encoded(made, task, sources.rows(WORLD, task, "train", "qaa", 8), 64)
    return finetuning.task_stream(made, finetuning.new_head(made, task), task, features).loss([*range(8)])


@pytest.mark.parametrize("attention", ["sdpa", packing.NAME])
@pytest.mark.parametrize("name", ["xnli", "xcopa", "udpos", "xquad", "lareqa", "mlm"])
def test_a_step_asks_nothing_of_the_device(name, attention, tokenizer, monkeypatch):
    def own(module, query, key, value, attention_mask, **more):  # nested tensors do not know the meta device
        return value.transpose(1, 2), None

    monkeypatch.setitem(AttentionInterface._global_mapping, packing.register(), own)
    loss = loss_on_meta(name, tokenizer, attention)
    loss.backward()
    assert loss.device.type == "meta"


def test_a_step_that_asks_is_found(tokenizer):
    with pytest.raises(RuntimeError, match="meta"):
        loss_on_meta("xnli", tokenizer, "eager")  # transformers asks whether there is padding before it makes this mask


def test_a_compiled_run_learns_the_same_with_few_graphs_for_all_shapes(tokenizer, settings, monkeypatch):
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))  # traced as for a GPU, run without a compiler
    task, losses = tasks.get("xnli"), []
    for batches in ("padded", "compiled"):
        made = encoder.choose_batches(batches, encoder.create(tokenizer, 2, 32, 4, 64, 0))
        features = scoring.encoded(made, task, sources.rows(WORLD, task, "train", "qaa", 60), 64)
        _, curve = finetuning.fine_tune(made, {"xnli": (task, features)}, settings, 0)
        losses.append(curve["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert counters["stats"]["unique_graphs"] <= 3, "with and without padding, and for one sequence; shapes make no others"
    assert made.attention == "eager compiled" and made.exact().attention == "eager"


# ---------------------------------------------------------------- translated recipes


@pytest.fixture
def mixed(parquet_root):
    """A study of English, German, French and Estonian over a folder in which MNLI is translated into the first two alone."""
    names = {"nyu-mll/glue": ("mnli", "en"), "facebook/xnli": ("de", "de")}
    for repo, (config, language) in names.items():
        root = parquet_root(repo, config, {"train": [said(language, i) for i in range(11)]})
    root = parquet_root("facebook/xnli", "fr", {"train": [said("fr", i) for i in range(11)]})
    changes = {"source": str(root), "subset": True, "languages": ["en", "de", "et", "fr"], "targets": ["xnli"]}
    return study.load("xtreme").model_copy(update=changes)


def said(language: str, i: int) -> dict:
    return {"premise": f"{language} {i}", "hypothesis": "h", "label": i % 3}


def test_rows_are_mixed_from_the_languages_that_a_translation_exists_for_each_row_read_once(mixed, monkeypatch):
    read, made = [], canonical.made

    def noted(numbered, *rest, **more):
        return made([read.append(row["premise"]) or (i, row) for i, row in numbered], *rest, **more)

    monkeypatch.setattr(canonical, "made", noted)
    coming = finetuning.translated(mixed, tasks.get("mnli"), None)
    wanted = [f"{('en', 'de', 'fr')[i % 3]} {i}" for i in range(11)]
    assert [row["text_a"] for row in itertools.islice(coming, 4)] == wanted[:4] == read, "no row is read before its turn"
    assert [row["text_a"] for row in coming] == wanted[4:] and read == wanted, "nor one of another turn"
    assert [row["text_a"] for row in finetuning.translated(mixed, tasks.get("mnli"), 5)] == wanted[:5]


def test_what_a_translated_recipe_is_in_is_known_to_record_plan_and_fetch(mixed):
    assert finetuning.languages(mixed, "mnli-mt") == {"mnli": ["en", "de", "fr"]}
    assert finetuning.languages(mixed, "mnli") == {"mnli": ["en"]}
    cell = study.Cell("x", "intermediate", "base", "mnli-mt")
    reads = [(split, language) for _, split, language in fingerprints.reads_of(mixed, cell)]
    assert reads == [("train", "en"), ("dev", "en"), ("translated", "de"), ("translated", "fr")]
    assert set(finetuning.languages(study.load("xtreme"), "mnli-mt")["mnli"]) == set(benchmark.XNLI.split())
    assert finetuning.languages(study.load("pocket_full"), "mnli-mt")["mnli"] == study.load("pocket_full").all_languages()


def test_a_recipe_without_any_translation_says_where_one_is_looked_for(mixed):
    few = mixed.model_copy(update={"languages": ["en", "et"]})
    with pytest.raises(Problem, match=r"mnli-mt: no translation into et; put canonical rows into <translations>/mnli/et.jsonl"):
        list(finetuning.translated(few, tasks.get("mnli"), None))


@pytest.mark.parametrize("n", [1, 5, 30])
def test_the_microworld_is_translated_into_all_languages_in_turn(n):
    loaded, task = study.load("pocket"), tasks.get("squad_v1")
    sets = [microworld.rows(task.world, "train", "qaa", n)]
    sets += [microworld.translated(task.world, language, n, loaded.translation_noise) for language in loaded.all_languages()[1:]]
    assert list(finetuning.translated(loaded, task, n)) == [sets[i % 7][i] for i in range(n)]


# ---------------------------------------------------------------- masked-LM on the side


def test_masked_lm_on_the_side_has_its_own_learning_rate_and_no_other_recipe_hangs_on_it():
    loaded = study.load("xtreme")
    slower = loaded.model_copy(update={"intermediate": loaded.intermediate.model_copy(update={"mlm_learning_rate": 1e-6})})
    recipes = ["mnli", "mnli+mlm", "mnli-mt+mlm@9", "all", "all+mlm"]
    rates = [[finetuning.settings(told, recipe).learning_rate for recipe in recipes] for told in (loaded, slower)]
    assert rates == [[1e-5, 5e-6, 5e-6, 1e-5, 5e-6], [1e-5, 1e-6, 1e-6, 1e-5, 1e-6]]
    cells = [study.Cell("x", "intermediate", "base", recipe) for recipe in recipes if "-mt" not in recipe]
    changed = [fingerprints.parameters(loaded, cell) != fingerprints.parameters(slower, cell) for cell in cells]
    assert changed == [False, True, False, True]
    unset = loaded.model_copy(update={"intermediate": loaded.intermediate.model_copy(update={"mlm_learning_rate": None})})
    assert finetuning.settings(unset, "mnli+mlm") == finetuning.settings(unset, "mnli")


# ---------------------------------------------------------------- several tasks at once


def test_tasks_of_one_head_share_it_and_others_do_not(tiny, settings):
    named = {name: tasks.get(name) for name in ("qqp", "mnli", "anli_plus")}
    named["other"] = replace(tasks.get("mnli"), labels=("yes", "no", "perhaps"))
    data = {name: (task, scoring.encoded(tiny, task, sources.rows(WORLD, task, "train", "qaa", 8), 64)) for name, task in named.items()}
    heads, _ = finetuning.fine_tune(tiny, data, settings, 0)
    assert list(heads) == list(named) and heads["mnli"] is heads["anli_plus"]
    assert len({id(head) for head in heads.values()}) == 3, "another task, or other labels, have their own"


@pytest.mark.parametrize("profile", ["xtreme", "both", "pocket_full"])
def test_no_row_of_the_multi_task_recipe_counts_twice(profile):
    loaded = study.load(profile)
    parts = [part for task in finetuning.trained_tasks(loaded, "all") for part in task.splits["train"]]
    assert len(parts) == len(set(parts)) > len(loaded.tasks_of("all"))
    alone = {part for name in loaded.tasks_of("all") for part in tasks.get(name).splits["train"]}
    assert set(parts) == alone, "and none is lost"
    (whole,) = finetuning.trained_tasks(loaded, "anli_plus")
    assert tasks.get("mnli").splits["train"][0] in whole.splits["train"], "by itself a task has all its rows"


def test_each_task_of_the_multi_task_recipe_is_encoded_at_its_own_length(tiny, monkeypatch):
    loaded = study.load("smoke")
    phase = loaded.intermediate.model_copy(update={"max_length": 64, "tasks": {"mnli": {"max_length": 16}, "all": {"cap": 9}}})
    loaded = loaded.model_copy(update={"intermediate": phase})
    data = finetuning.recipe_data(tiny, loaded, "all", 0)
    longest = {name: max(len(ids) for feature in features for ids in feature["ids"]) for name, (_, features) in data.items()}
    assert longest["mnli"] == 16 < longest["hellaswag"] <= 64
    widths = {}
    monkeypatch.setattr(scoring, "evaluate", lambda e, head, task, rows, width, language: (widths.setdefault(task.name, width), []))
    finetuning.development_scores(tiny, dict.fromkeys(data), loaded, data)
    assert widths == {"mnli": 16, "hellaswag": 64}, "and scored at it"

import json

import pytest

from xtools import encoder, study, tasks, timing
from xtools.problems import Problem
from xtools.run import estimate
from xtools.settings import Backbone
from xtools.study import Cell
from xtools.tasks import mining


def test_published_shapes_have_the_published_sizes():
    # Millions of weights as the model cards and leaderboards give them, word embeddings included.
    known = {
        "FacebookAI/xlm-roberta-base": 278, "FacebookAI/xlm-roberta-large": 560, "microsoft/Multilingual-MiniLM-L12-H384": 118,
        "google-bert/bert-base-multilingual-cased": 178, "distilbert/distilbert-base-multilingual-cased": 135,
        "microsoft/mdeberta-v3-base": 278, "google/rembert": 576, "jhu-clsp/mmBERT-small": 140, "jhu-clsp/mmBERT-base": 307,
    }  # fmt: skip
    for name, millions in known.items():
        assert estimate.parameters(encoder.config_of(name)) / 1e6 == pytest.approx(millions, rel=0.02), name


def test_large_costs_what_its_layers_say():
    base, large = (encoder.config_of(f"FacebookAI/xlm-roberta-{size}") for size in ("base", "large"))
    assert timing.flops(large, 1) / timing.flops(base, 1) == pytest.approx(3.55, abs=0.01)


def test_more_epochs_cost_more_and_scoring_alone_costs_less():
    loaded = study.load("smoke")
    cell = next(c for c in loaded.cells() if c.phase == "target" and c.target == "xnli")
    longer = loaded.model_copy(update={"target": loaded.target.model_copy(update={"epochs": 5})})
    once, five = (estimate.cell_flops(s, cell, set()) for s in (loaded, longer))
    assert once < five < 5 * once


def test_a_target_that_uses_anothers_model_costs_no_training():
    loaded = study.load("pocket_full")
    cells = {c.target: c for c in loaded.cells() if c.phase == "target" and c.recipe == "none"}
    assert estimate.cell_flops(loaded, cells["mlqa"], set()) < estimate.cell_flops(loaded, cells["xquad"], set()) / 2


def test_a_mining_corpus_counts_by_its_sentences_and_a_choice_by_its_sequences(monkeypatch):
    loaded, notes = study.load("xtreme"), set()
    assert [estimate._size(loaded, tasks.get("bucc2018"), split, "zh", None, notes) for split in ("test", "candidates")] == [88_860] * 2
    monkeypatch.setattr(estimate, "_lengths", lambda *asked: None)
    config = encoder.config_of("FacebookAI/xlm-roberta-base")
    one, four = (estimate._per_example(loaded, tasks.get(name), "train", 128, config, notes) for name in ("mnli", "hellaswag"))
    assert four == 4 * one and notes == {estimate.LENGTHS}


def test_a_target_that_is_searched_costs_its_first_task_too(monkeypatch):
    monkeypatch.setattr(estimate, "_lengths", lambda *asked: None)
    loaded, config = study.load("both"), encoder.config_of("FacebookAI/xlm-roberta-base")
    raw, tuned = (estimate._training(loaded, tasks.get(name), config, set()) for name in ("tatoeba", "tatoeba_squad"))
    passes = 3 * 2 * 87_599 + 10_570  # forward and backward, two epochs of SQuAD; its development set, once, for a run that came to nothing
    assert raw == 0 and tuned == passes * timing.flops(config, 384)


def test_queries_of_lareqa_are_short_and_a_dual_encoder_reads_both(monkeypatch):
    monkeypatch.setattr(estimate, "_lengths", lambda *asked: None)
    loaded, config, task = study.load("xtreme_r"), encoder.config_of("FacebookAI/xlm-roberta-base"), tasks.get("lareqa")
    query, answer = timing.flops(config, 96), timing.flops(config, 256)
    assert estimate._training(loaded, task, config, set()) == 3 * 3 * 87_599 * (query + answer)
    rows = {split: sum(estimate._scored(loaded, task, split, set()).values()) for split in task.test_splits}
    assert estimate._scoring(loaded, task, config, set()) == rows["test"] * query + rows["candidates"] * answer


def test_the_multi_task_recipe_costs_each_task_at_its_own_length_up_to_its_cap(monkeypatch):
    monkeypatch.setattr(estimate, "_lengths", lambda *asked: None)
    loaded, config = (
        study.load("both").model_copy(update={"recipes": ["mnli", "squad_v1", "all"]}),
        encoder.config_of("FacebookAI/xlm-roberta-base"),
    )
    pair, window = timing.flops(config, 256), timing.flops(config, 384)
    looks = 18  # every 1,000 of three epochs of 3,125 and 2,738 batches, and at the end
    development = 9_815 * pair + 10_570 * window + looks * 500 * (pair + window)
    cell = study.Cell("both", "intermediate", "base", "all")
    assert estimate._intermediate(loaded, cell, config, set()) == 3 * 3 * 100_000 * pair + 3 * 3 * 87_599 * window + development


def test_an_unknown_gpu_is_told():
    with pytest.raises(Problem, match="GPU=h20: unknown; did you mean h200"):
        estimate.show(study.load("smoke"), "h20")


@pytest.mark.parametrize("profile", ["smoke", "xtreme", "xtreme_r", "frontier"])
def test_a_plan_says_what_it_assumes(profile, capsys):
    estimate.show(study.load(profile), "a100")
    shown = capsys.readouterr().out
    assert "hours, one A100" in shown and "disk:" in shown
    assert "assumed:" in shown, "lengths, at least: neither data nor tokenizer is at hand"
    if "xtreme" in profile:
        assert "search:" in shown and "no temporary disk" in shown


def test_a_title_is_shown_as_it_stands(capsys):
    estimate.show(study.load("smoke").model_copy(update={"title": "[/b] [red]x :heart:"}), "a100")
    assert "smoke: [/b] [red]x :heart:" in capsys.readouterr().out


def test_a_cap_takes_nothing_from_a_mining_corpus():
    loaded, task = study.load("xtreme"), tasks.get("bucc2018")
    capped = loaded.model_copy(update={"evaluation": loaded.evaluation.model_copy(update={"test": 100})})
    assert estimate.searched(capped, task, set()) == estimate.searched(loaded, task, set())
    assert estimate.searched(capped, task, set())["ru"] == (558_401, 558_401)
    assert estimate.searched(capped, tasks.get("tatoeba"), set())["de"] == (100, 1_000), "queries alone are capped"


def test_a_search_costs_one_product_of_its_vectors_and_only_targets_that_are_searched_search():
    loaded, notes = study.load("xtreme"), set()
    cells = {c.target: c for c in loaded.cells() if c.phase == "target" and c.recipe == "none"}
    hidden = estimate.config_of(loaded, cells["bucc2018"].backbone).hidden_size
    pairs = [count for count in mining.BUCC_ENGLISH.values() if count]
    languages = loaded.languages_of("bucc2018")
    assert len(languages) - ("en" in languages) == len(pairs)
    assert estimate.search_flops(loaded, cells["bucc2018"], notes) == sum(2 * n * n * hidden for n in pairs)
    assert estimate.search_flops(loaded, cells["xnli"], notes) == 0


def test_a_pool_is_searched_whole_by_each_languages_queries():
    loaded = study.load("xtreme_r")
    assert {m for _, m in estimate.searched(loaded, tasks.get("mewslix"), set()).values()} == {1_003_893}


def test_hours_are_those_of_the_work_and_of_the_search_at_their_rates():
    on = estimate.Machine("x", 1e12, 1e9)
    assert on.hours(3600e12 * estimate.UTILISATION, 0) == on.hours(0, 3600e9 * estimate.SEARCHING) == 1


def test_a_gpus_fp32_rate_is_two_operations_a_cycle_of_each_of_its_cores():
    # CUDA cores and boost clock in GHz: T4, V100 SXM2, A100, L4, L40S, H100 SXM, H200 SXM, B200.
    cores = {"t4": (2560, 1.59), "v100": (5120, 1.53), "a100": (6912, 1.41), "l4": (7424, 2.04), "l40s": (18176, 2.52)}
    cores |= {"h100": (16896, 1.98), "h200": (16896, 1.98), "b200": (18944, 1.98)}
    assert estimate.GPUS_FP32.keys() == estimate.GPUS.keys() == cores.keys()
    for name, (number, clock) in cores.items():
        assert estimate.GPUS_FP32[name] == pytest.approx(2e9 * number * clock, rel=0.01), name


def test_no_pair_of_bucc_needs_twelve_gibibytes_and_many_vectors_take_half_the_room_twice():
    loaded, task = study.load("xtreme"), tasks.get("bucc2018")
    configs = [estimate.config_of(loaded, name) for name in loaded.backbones]
    assert max(estimate._memory(loaded, task, config, set()) for config in configs) < 12 * 2**30
    assert estimate.search_memory(10**6, 0, 1024) - estimate.PROCESS == 4 * 10**6 * 1024


def test_looks_at_development_rows_are_counted():
    """Four steps (100 rows in batches of 32), looked at after the second and the last, on 30 rows each: 60 more forward passes than without."""
    smoke, cell = study.load("smoke"), Cell("smoke", "target", "tiny", "none", "xnli", 0)
    looked = smoke.target.model_copy(update={"eval_steps": 2, "eval_rows": 30})
    more = estimate.cell_flops(smoke.model_copy(update={"target": looked}), cell, set()) - estimate.cell_flops(smoke, cell, set())
    config = estimate.config_of(smoke, "tiny")
    each = estimate._per_example(smoke, tasks.get("xnli"), "dev", smoke.target.max_length, config, set())
    assert more == pytest.approx(60 * each)


def test_a_folder_is_counted_by_what_it_holds(parquet_root):
    labelled = {"premise": "It rains.", "hypothesis": "It is wet.", "label": 0}
    root = parquet_root("facebook/xnli", "de", {"test": [labelled] * 7})
    loaded, task = study.load("smoke").model_copy(update={"source": str(root), "subset": True}), tasks.get("xnli")
    counted = [estimate._size(loaded, task, "test", "de", cap, set()) for cap in (None, 5)]
    assert counted == [7, 5] and estimate._size(study.load("xtreme"), task, "test", "de", None, set()) == 5_010


def test_articles_of_a_folder_are_counted_by_their_questions(tmp_path):
    question = {"id": "q", "question": "Who?", "answers": [{"text": "Ada", "answer_start": 0}]}
    path = tmp_path / "google-research-datasets" / "lareqa" / "xquad-r" / "de.json"
    path.parent.mkdir(parents=True)
    passage = {"context": "Ada ran.", "sentences": ["Ada ran."], "sentence_breaks": [[0, 8]], "qas": [question, question | {"id": "r"}]}
    path.write_text(json.dumps({"data": [{"title": "Ada", "paragraphs": [passage]}]}))
    loaded = study.load("smoke").model_copy(update={"source": str(tmp_path), "subset": True})
    assert estimate._size(loaded, tasks.get("lareqa"), "test", "de", None, set()) == 2


def test_a_set_of_which_nothing_is_left_costs_nothing_to_sample(monkeypatch):
    loaded = study.load("smoke")
    monkeypatch.setattr(estimate.sources, "rows", lambda *asked: [])
    monkeypatch.setattr(estimate, "_tokenizer", lambda *asked: object())
    monkeypatch.setattr(estimate, "_sampled", {})
    assert estimate._lengths(loaded, "xquad", "dev", 64) is None


def test_fewer_layers_cost_less_and_are_downloaded_with_the_rest():
    entries = {str(n): Backbone(load="FacebookAI/xlm-roberta-base", layers=n) for n in (6, 12, None)}
    loaded = study.load("xtreme").model_copy(update={"backbones": entries})
    configs = [estimate.config_of(loaded, name) for name in entries]
    six, twelve, every = (estimate.parameters(config) for config in configs)
    assert twelve == every and timing.flops(configs[1], 128) == 2 * timing.flops(configs[0], 128)
    assert six == every - 6 * 12 * 768**2
    assert {estimate._about(entry.load, entry) for entry in entries.values()} == {", about 1.11 GB"}

import pytest

from xtools import encoder, study, tasks, timing
from xtools.problems import Problem
from xtools.run import estimate


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


def test_an_unknown_gpu_is_told():
    with pytest.raises(Problem, match="GPU=h20: unknown; did you mean h200"):
        estimate.show(study.load("smoke"), "h20")


@pytest.mark.parametrize("profile", ["smoke", "xtreme", "xtreme_r", "frontier"])
def test_a_plan_says_what_it_assumes(profile, capsys):
    estimate.show(study.load(profile), "a100")
    shown = capsys.readouterr().out
    assert "hours, one A100" in shown and "disk:" in shown
    assert "assumed:" in shown, "lengths, at least: neither data nor tokenizer is at hand"

import functools
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForMaskedLM

from xtools import encoder as encoders
from xtools import results, study, timing
from xtools.report import costs
from xtools.scoring import forward
from xtools.settings import Timing


@pytest.mark.parametrize("tokens", [16, 64, 128, 512])
@pytest.mark.parametrize("shape", [(2, 32, 2), (4, 128, 4), (3, 48, 3)])
def test_flops_equal_torchs_counter(tokenizer, tokens, shape):
    made = encoders.create(tokenizer, *shape, max_length=512, seed=0)
    ids = torch.full((1, tokens), 9)
    with FlopCounterMode(display=False) as counter:
        made.hidden(ids)
    assert counter.get_total_flops() / timing.flops(made.config, tokens) == pytest.approx(1, abs=1e-3)


PUBLISHED = [
    "FacebookAI/xlm-roberta-base", "FacebookAI/xlm-roberta-large", "microsoft/Multilingual-MiniLM-L12-H384",
    "google-bert/bert-base-multilingual-cased", "distilbert/distilbert-base-multilingual-cased", "microsoft/mdeberta-v3-base",
    "google/rembert", "jhu-clsp/mmBERT-small", "jhu-clsp/mmBERT-base",
]  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_flops_of_published_architectures_equal_torchs_counter(name):
    config = encoders.config_of(name)
    config.update({"vocab_size": 100, "pad_token_id": 1})  # look-ups are not counted, so the vocabulary does not matter
    layers = 2
    config.update({"n_layers" if config.model_type == "distilbert" else "num_hidden_layers": layers})
    if config.model_type == "modernbert":
        config.layer_types = config.layer_types[:layers]
    model = AutoModelForMaskedLM.from_config(config, attn_implementation="eager").eval()
    for tokens in (16, 128, 512):
        ids = torch.full((1, tokens), 9)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model.base_model(input_ids=ids, attention_mask=torch.ones_like(ids))
        assert counter.get_total_flops() / timing.flops(config, tokens) == pytest.approx(1, abs=1e-3), tokens


def test_base_and_large_have_the_known_ratio_per_token():
    base, large = (encoders.config_of(f"FacebookAI/xlm-roberta-{size}") for size in ("base", "large"))
    assert timing.flops(large, 1) / timing.flops(base, 1) == pytest.approx(3.55, abs=0.02)


SETTINGS = Timing(iterations=2, lengths=[8, 16, 500], batches=[1, 4], variants=["int8/eager", "fp32/sdpa"])


def features(lengths) -> list[dict]:
    return [{"ids": [[0, *[9] * n, 2]], "row": n, "cut": False} for n in lengths]


def test_a_repetition_measures_everything(tiny):
    by_language = {"qaa": features(range(5, 21)), "qab": features(range(10, 26))}
    found, fixed = timing.measure(tiny, by_language, SETTINGS), timing.exact(tiny, by_language)
    assert found["latency_ms"]["median"] > 0 and found["throughput"] > 0 and found["memory_mib"]["resident"] > 50
    assert 1e8 < found["matrix_rate"] < 1e16
    assert found["memory_mib"]["allocated"] is None and found["tf32"] is None, "absent is absent, not zero"
    assert all(point.get("allocated") is None for point in found["sweep"])
    assert set(found["by_language_ms"]) == set(fixed["tokens_by_language"]) == {"qaa", "qab"}
    assert fixed["tokens_by_language"]["qab"] - fixed["tokens_by_language"]["qaa"] == 5
    points = [timing.flops(tiny.config, n + 2) / 1e9 for r in (range(5, 21), range(10, 26)) for n in r]
    assert fixed["gflops_per_example"] == pytest.approx(np.mean(points))
    measured = {(p["length"], p["batch"]): p["ms"] for p in found["sweep"] if "ms" in p}
    assert set(measured) == {(8, 1), (8, 4), (16, 1), (16, 4)}
    assert [p["hole"] for p in found["sweep"] if p["length"] == 500] == ["longer than the 64 tokens that the encoder reads"]
    assert [v["variant"] for v in found["variants"]] == ["int8/eager", "fp32/sdpa"] and all(v["median"] > 0 for v in found["variants"])
    result = results.Timing(**fixed, precision="fp32", attention="eager", weights="random", tokenizer="its own", measured=found)
    assert list(costs.summary(result).columns) == ["", "this repetition"]
    assert list(costs.variants_frame(result).setting) == ["as timed (fp32/eager)", "int8/eager", "fp32/sdpa"]
    assert costs.sweep_memory(result).empty


class Card:
    """A GPU as torch counts its memory, in MiB: `use` takes some for a moment, and keeps it reserved until the cache is emptied."""

    def __init__(self, monkeypatch, weights: int):
        self.weights = self.allocated = self.reserved = weights
        for name, function in {
            "synchronize": lambda device=None: None,
            "empty_cache": lambda: setattr(self, "kept", weights),
            "reset_peak_memory_stats": lambda device: self.__dict__.update(allocated=weights, reserved=self.kept),
            "max_memory_allocated": lambda device: self.allocated * 2**20,
            "max_memory_reserved": lambda device: self.reserved * 2**20,
        }.items():
            monkeypatch.setattr(torch.cuda, name, function)
        self.kept = weights

    def use(self, amount: int) -> None:
        self.allocated = max(self.allocated, self.weights + amount)
        self.kept = max(self.kept, self.weights + amount)
        self.reserved = max(self.reserved, self.kept)


@pytest.fixture
def card(monkeypatch, tiny):
    """A GPU on which a batch takes a MiB a token, a variant 5,000, and a matrix product 9,000; beside it the encoder that stands on it."""
    made = Card(monkeypatch, weights=100)

    def forward(encoder, batch, output, budget=None):
        made.use(sum(len(f["ids"][0]) for f in batch))
        return [None] * len(batch)

    def variant(name):
        made.use(5000)
        return on_card

    on_card = SimpleNamespace(device=torch.device("cuda"), config=tiny.config, precision="fp32", variant=variant)
    monkeypatch.setattr(timing, "forward", forward)
    monkeypatch.setattr(timing, "matrix_rate", lambda *_: made.use(9000) or 1e12)
    return on_card


def test_a_gpus_peaks_are_those_of_the_scored_pass_and_of_each_point_by_itself(card):
    timing.forward(card, features([700]), None)  # what was done before leaves a peak and a cache
    found = timing.measure(card, {"qaa": features([8, 18]), "qab": features([28])}, SETTINGS)
    assert found["memory_mib"]["allocated"] == found["memory_mib"]["reserved"] == 100 + 10 + 20 + 30
    assert {(p["length"], p["batch"]): p.get("allocated") for p in found["sweep"]} == {
        (8, 1): 108, (8, 4): 132, (16, 1): 116, (16, 4): 164, (500, None): None
    }  # fmt: skip
    result = results.Timing(
        **timing.exact(card, {"qaa": features([8])}),
        precision="fp32",
        attention="sdpa",
        weights="random",
        tokenizer="its own",
        measured=found,
    )
    shown = costs.sweep_memory(result)
    assert list(shown.columns) == ["tokens", "batch of 1", "batch of 4"] and shown.to_numpy().tolist() == [[8, 108, 132], [16, 116, 164]]
    summary = costs.summary(result).set_index("")["this repetition"]
    assert summary["peak GPU memory of scoring all at once, allocated / reserved (MiB)"] == "160 / 160"
    assert summary["fp32 products rounded to TF32"] == "no"


def test_resident_memory_is_noted_after_the_scored_pass_before_anything_else(tiny, monkeypatch):
    order = []
    for name in ("offline", "memory", "sweep", "variants", "joules", "matrix_rate"):
        monkeypatch.setattr(timing, name, functools.partial(lambda name, *_: order.append(name) or 1.0, name))
    timing.measure(tiny, {"qaa": features([5])}, SETTINGS)
    assert order[:2] == ["offline", "memory"] and order.count("memory") == 1


def test_packing_is_a_variant_on_a_gpu_where_the_architecture_can(card, tiny):
    assert timing.variant_names(card, ["fp32/eager"]) == ["fp32/eager", "fp32/packed"]
    assert timing.variant_names(card, ["fp32/packed"]) == ["fp32/packed"]
    assert timing.variant_names(tiny, ["fp32/eager"]) == ["fp32/eager"]
    card.config = encoders.config_of("jhu-clsp/mmBERT-small")
    assert timing.variant_names(card, []) == []


def test_tf32_is_off_until_it_is_asked_for_and_then_recorded():
    gpu = torch.device("cuda")
    assert timing.tf32(gpu) is False and timing.tf32(torch.device("cpu")) is None
    try:
        for asked in ("high", "medium"):
            torch.set_float32_matmul_precision(asked)
            assert timing.tf32(gpu) is True
        torch.set_float32_matmul_precision("highest")
        assert timing.tf32(gpu) is False
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        assert timing.tf32(gpu) is True
    finally:
        torch.backends.cuda.matmul.fp32_precision = "none"
        torch.set_float32_matmul_precision("highest")
    assert timing.tf32(gpu) is False


def test_every_encoder_is_timed_in_fp32_and_padded(tiny):
    tiny.precision = "bf16"
    made = timing.comparable(tiny.pack(True))
    assert (made.packed, made.precision, made.body, made.attention) == (False, "fp32", None, "eager")


def test_the_notebook_times_padded_batches_also_where_scoring_packs(monkeypatch, tmp_path):
    pocket = study.load("pocket")
    few = pocket.timing.model_copy(update={"examples": 2, "lengths": [], "variants": ["fp32/packed"]})
    monkeypatch.setattr(study, "load", lambda *_, **__: pocket.model_copy(update={"batches": "packed", "timing": few}))
    notebook = (encoders.ROOT / "notebooks" / "4_timing.py").read_text().replace('folder: str = ""', f"folder: str = {str(tmp_path)!r}")
    exec(compile(notebook, "4_timing.py", "exec"), {})
    result = (tmp_path / "result.json").read_text()
    assert '"attention":"eager"' in result.replace(" ", "") and "fp32/packed" in result


def test_percentiles_need_enough_queries():
    few, some, many = (timing.percentiles(np.linspace(0.001, 0.002, n)) for n in (63, 64, 1000))
    assert (few["p90"], few["p99"], some["p99"]) == (None, None, None)
    assert some["p90"] == pytest.approx(1.9, abs=0.01) and many["p99"] == pytest.approx(1.99, abs=0.01)


def test_each_point_takes_the_seconds_and_calls_that_are_asked(tiny):
    assert len(timing.single_stream(tiny, features([5]), seconds=0.0, iterations=30)) == 30
    assert timing.single_stream(tiny, features([5]), seconds=0.2).sum() > 0.1


def test_a_batch_that_does_not_fit_is_a_hole_and_the_rest_goes_on(tiny, monkeypatch):
    forward = timing.forward

    def full(encoder, batch, output, budget=None):
        if len(batch) > 2:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 99 bytes.")
        return forward(encoder, batch, output, budget)

    monkeypatch.setattr(timing, "forward", full)
    points = timing.sweep(tiny, [8], [1, 4], 0, 1)
    assert "ms" in points[0] and "tried to allocate 99 bytes" in points[1]["hole"]


def test_other_work_on_the_machine_is_seen_and_own_work_is_not():
    before, after = timing.Usage(100.0, 50.0, 5.0), timing.Usage(110.0, 65.0, 14.0)
    assert after.others(before) == pytest.approx(0.6), "15 seconds were used in 10, 9 of them by this process"
    assert "other processes used 0.6" in timing.flags(torch.device("cpu"), 1.0, 1.0, 0.6)[0]
    begun, end = timing.Usage.now(), time.process_time() + 1.0
    while time.process_time() < end:
        pass
    ended = timing.Usage.now()
    assert ended.own - begun.own == pytest.approx(1.0, abs=0.1) and ended.machine - begun.machine > 0.8


def test_odd_times_are_flagged_and_quiet_ones_are_not():
    assert timing.flags(torch.device("cpu"), 1.0, 1.0, 0.1) == []
    assert "0.50 times" in timing.flags(torch.device("cpu"), 0.5, 1.0, 0.0)[0]


def test_the_timed_pass_gives_the_vectors_that_scoring_pools(tiny):
    found = features(range(5, 9))
    timed = forward(tiny, found, timing.first_tokens)
    for feature, vector in zip(found, timed, strict=True):
        assert torch.allclose(torch.tensor(vector), tiny.hidden(torch.tensor(feature["ids"]))[0, 0], atol=1e-5)


@pytest.mark.parametrize("name", ["fp32/eager", "fp32/sdpa", "bf16/eager", "int8/eager", "fp32/packed", "fp32/sdpa/compiled"])
def test_variants_compute_the_same_up_to_their_precision(tiny, name, monkeypatch):
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))  # traced, not compiled: that takes minutes
    ids = torch.tensor([[0, 9, 10, 11, 2]])
    own, other = tiny.hidden(ids), tiny.variant(name).hidden(ids)
    assert torch.nn.functional.cosine_similarity(own.flatten(), other.flatten(), 0) > (0.9999 if "fp32" in name else 0.98)
    assert torch.equal(tiny.hidden(ids), own), "the encoder itself is left as it was"


@pytest.mark.parametrize("name", ["fp16/eager", "fp32/flash", "fp32/eager/fast"])
def test_unknown_variants_are_refused(tiny, name):
    with pytest.raises(ValueError, match="not <fp32, bf16 or int8>"):
        tiny.variant(name)


def test_random_weights_are_of_the_published_shape(monkeypatch):
    made, origin = encoders.at_random("microsoft/Multilingual-MiniLM-L12-H384", ["a b c"] * 50)
    assert origin == "made here", "the tokenizer is not at hand without the Hub, and that is said"
    assert made.config.hidden_size == 384 and made.hidden(torch.tensor([[5, 6]])).shape == (1, 2, 384)


def test_timing_and_bench_need_neither_datasets_nor_papermill():
    import subprocess
    import sys

    code = "import sys; from xtools import timing; from xtools.run import bench; bad = {'datasets', 'papermill'} & set(sys.modules); sys.exit(str(bad) if bad else 0)"
    subprocess.run([sys.executable, "-c", code], check=True)

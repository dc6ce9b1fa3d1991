import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from xtools import encoder as encoders
from xtools import timing


@pytest.mark.parametrize("tokens", [16, 64, 128, 512])
@pytest.mark.parametrize("shape", [(2, 32, 2), (4, 128, 4), (3, 48, 3)])
def test_flops_equal_torchs_counter(tokenizer, tokens, shape):
    made = encoders.create(tokenizer, *shape, max_length=512, seed=0)
    ids = torch.full((1, tokens), 9)
    with FlopCounterMode(display=False) as counter:
        made.hidden(ids)
    assert counter.get_total_flops() / timing.flops(made.config, tokens) == pytest.approx(1, abs=1e-3)


def test_base_and_large_have_the_known_ratio_per_token():
    from transformers import XLMRobertaConfig

    base = XLMRobertaConfig(num_hidden_layers=12, hidden_size=768, intermediate_size=3072)
    large = XLMRobertaConfig(num_hidden_layers=24, hidden_size=1024, intermediate_size=4096)
    assert timing.flops(large, 1) / timing.flops(base, 1) == pytest.approx(3.55, abs=0.02)


def test_measurements_have_one_value_per_repetition(tiny):
    features = [{"ids": [[0, *[9] * n, 2]], "row": n} for n in range(5, 37)]
    found = timing.measure(tiny, features, 3)
    assert len(found["latency_ms"]) == len(found["throughput"]) == 3
    assert min(found["latency_ms"]) > 0 and found["memory_mib"] > 50
    assert found["latency_p90_ms"] is None, "p90 needs 64 examples"
    assert timing.measure(tiny, features * 2, 1)["latency_p90_ms"]
    assert found["gflops_per_example"] == pytest.approx(np.mean([timing.flops(tiny.config, n + 2) for n in range(5, 37)]) / 1e9)
    assert list(timing.summary(found).columns) == ["", "median", "range"]


def test_timing_needs_neither_datasets_nor_papermill():
    import subprocess
    import sys

    code = "import sys; from xtools import timing; bad = {'datasets', 'papermill'} & set(sys.modules); sys.exit(str(bad) if bad else 0)"
    subprocess.run([sys.executable, "-c", code], check=True)

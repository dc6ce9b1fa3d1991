"""What inference costs: latency, throughput, FLOPs and memory of the same forward pass that scores.

Needs neither `datasets` nor papermill. Scenarios follow MLPerf inference: single-stream (one example after another, latency) and
offline (all at once, throughput).
"""

import resource
import time

import numpy as np
import pandas as pd
import torch

from xtools.batching import length
from xtools.encoder import Encoder
from xtools.scoring import forward


def flops(config, tokens: int) -> int:
    """Floating-point operations of one forward pass of the encoder over one sequence of `tokens` tokens.

    Per layer, with hidden size h, feed-forward size f and n tokens: query, key, value and output projections 8 n h^2, attention scores
    and their weighted sum 4 n^2 h, feed-forward 4 n h f, or 6 n h f where it is gated (ModernBERT); a multiply-add counts as two.
    DeBERTa's disentangled attention (He et al. 2021, section 3.1) adds, for 2 k relative positions, their two projections 8 k h^2 and
    their scores against queries and keys 8 n k h. RemBERT's embeddings of size e are projected once, 2 n e h. Look-ups, norms, biases
    and activations are left out.
    """
    n, h = tokens, config.hidden_size
    f = getattr(config, "intermediate_size", None) or config.hidden_dim  # DistilBERT's name for it
    gated = config.model_type == "modernbert"
    layer = 8 * n * h * h + 4 * n * n * h + (6 if gated else 4) * n * h * f
    if config.model_type == "deberta-v2":
        k = config.position_buckets
        layer += 8 * k * h * h + 8 * n * k * h
    once = 2 * n * config.input_embedding_size * h if config.model_type == "rembert" else 0
    return config.num_hidden_layers * layer + once


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _first_token(encoder: Encoder, batch: dict) -> list:
    sizes = np.cumsum([0] + [len(f["ids"]) for f in batch["features"]])[:-1]
    return encoder.hidden(batch["ids"])[sizes.tolist(), 0].cpu().tolist()


def single_stream(encoder: Encoder, features: list[dict], warm_up: int = 5) -> np.ndarray:
    """Seconds per example, one example after another [examples]; `warm_up` examples run first and are not counted."""
    seconds = []
    for i, feature in enumerate([*features[:warm_up], *features]):
        synchronize(encoder.device)
        start = time.perf_counter()
        forward(encoder, [feature], _first_token)
        synchronize(encoder.device)
        if i >= warm_up:
            seconds.append(time.perf_counter() - start)
    return np.array(seconds)


def offline(encoder: Encoder, features: list[dict]) -> float:
    """Examples per second when all are given at once, batched as scoring does."""
    synchronize(encoder.device)
    start = time.perf_counter()
    forward(encoder, features, _first_token)
    synchronize(encoder.device)
    return len(features) / (time.perf_counter() - start)


def measure(encoder: Encoder, features: list[dict], repetitions: int) -> dict:
    """Median and 90th percentile latency (ms; the latter from 64 examples on), throughput (examples/s), GFLOPs per example, memory (MiB).

    Each of `repetitions` gives one value of latency and of throughput; lists hold them all, in order.
    """
    runs = [(single_stream(encoder, features), offline(encoder, features)) for _ in range(repetitions)]
    latency = [1000 * float(np.median(seconds)) for seconds, _ in runs]
    p90 = [1000 * float(np.percentile(seconds, 90)) for seconds, _ in runs] if len(features) >= 64 else None
    tokens = [length(f) for f in features]
    return {
        "examples": len(features),
        "tokens_per_example": float(np.mean(tokens)),
        "latency_ms": latency,
        "latency_p90_ms": p90,
        "throughput": [t for _, t in runs],
        "gflops_per_example": float(np.mean([flops(encoder.config, n) for n in tokens])) / 1e9,
        "memory_mib": memory(encoder.device),
    }


def memory(device: torch.device) -> float:
    """Peak memory in MiB: allocated by torch on a GPU, resident for this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def summary(measured: dict) -> pd.DataFrame:
    """The measurements as a table: median over repetitions with their range, and the unit."""
    rows = []
    for key, what in (
        ("latency_ms", "latency, median (ms)"),
        ("latency_p90_ms", "latency, 90th percentile (ms)"),
        ("throughput", "throughput (examples/s)"),
    ):
        values = measured[key]
        spread = f"{min(values):.4g} to {max(values):.4g}" if values else "needs 64 examples"
        rows.append({"": what, "median": f"{np.median(values):.4g}" if values else "–", "range": spread})
    rows.append({"": "tokens per example", "median": f"{measured['tokens_per_example']:.1f}", "range": ""})
    rows.append({"": "GFLOPs per example", "median": f"{measured['gflops_per_example']:.4g}", "range": "exact"})
    rows.append({"": "peak memory (MiB)", "median": f"{measured['memory_mib']:.0f}", "range": ""})
    return pd.DataFrame(rows)

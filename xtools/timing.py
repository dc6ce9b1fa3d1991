"""What inference costs: latency, throughput, FLOPs, memory and energy of the same forward pass that scores.

Needs neither `datasets` nor papermill. Scenarios follow MLPerf inference (Reddi et al. 2020, section IV): single-stream (one example after
another, percentiles of latency) and offline (all at once, throughput).
"""

import contextlib
import os
import resource
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

from xtools import packing
from xtools.batching import length
from xtools.encoder import Encoder, longest
from xtools.scoring import forward

WARM_UP = 5  # calls that are not counted
P90_FROM, P99_FROM = 64, 1000  # queries that a percentile needs: MLPerf's least for a 90th, ten beyond it for a 99th
AGREE = 0.05  # how far one example repeated and different ones of its length may lie apart
OTHERS = 0.2  # cores that other processes may use before times count as doubtful
RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")


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


def comparable(encoder: Encoder) -> Encoder:
    """The same weights as every architecture can run, so that times compare: fp32, uncompiled, batches padded. The rest are variants."""
    return encoder.exact().pack(False)


def tf32(device: torch.device) -> bool | None:
    """Whether a GPU rounds fp32 products to TF32, which torch does only when told to; None on a CPU, which does not know it."""
    if device.type != "cuda":
        return None
    return torch.backends.cuda.matmul.fp32_precision == "tf32"  # whichever of torch's ways it was told by; others raise on a mix


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@cache
def matrix_rate(device: torch.device, precision: str, size: int = 2048, seconds: float = 1.0) -> float:
    """FLOP/s of a large matrix product in a precision, the best of repeated ones: the ceiling that utilisation is measured against."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32) for _ in range(2))
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        synchronize(device)
        start = time.perf_counter()
        _ = a @ b
        synchronize(device)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def first_tokens(encoder: Encoder, batch: dict) -> list:
    """Each feature's first token's vector from the last layer: what a classification head would be given."""
    sizes = np.cumsum([0] + [len(f["ids"]) for f in batch["features"]])[:-1]
    return encoder.hidden(batch["ids"])[sizes.tolist(), 0].cpu().tolist()


# ---------------------------------------------------------------- scenarios


def single_stream(encoder: Encoder, features: list[dict], seconds: float = 0.0, iterations: int = 0) -> np.ndarray:
    """Seconds per example, one after another, in rounds over the features until `seconds` and `iterations` are reached [calls]."""
    for feature in features[:WARM_UP]:
        forward(encoder, [feature], first_tokens)
    spent: list[float] = []
    begun = time.perf_counter()
    while not spent or time.perf_counter() - begun < seconds or len(spent) < iterations:
        for feature in features:
            synchronize(encoder.device)
            start = time.perf_counter()
            forward(encoder, [feature], first_tokens)
            synchronize(encoder.device)
            spent.append(time.perf_counter() - start)
    return np.array(spent)


def offline(encoder: Encoder, features: list[dict], seconds: float = 0.0) -> float:
    """Examples per second when all are given at once, batched as scoring does; repeated until `seconds` have passed."""
    forward(encoder, features, first_tokens)
    synchronize(encoder.device)
    done, start = 0, time.perf_counter()
    while not done or time.perf_counter() - start < seconds:
        forward(encoder, features, first_tokens)
        done += len(features)
    synchronize(encoder.device)
    return done / (time.perf_counter() - start)


def scored(encoder: Encoder, features: list[dict], seconds: float) -> dict:
    """Throughput of the offline scenario, and the memory (MiB) of this pass by itself."""
    fresh_peaks(encoder.device)
    return {"throughput": offline(encoder, features, seconds), "memory_mib": memory(encoder.device)}


def percentiles(seconds: np.ndarray) -> dict:
    """Median latency in ms, and the 90th and 99th percentile where there are queries enough for them, else None."""
    ms, n = 1000 * seconds, len(seconds)
    return {
        "queries": n,
        "median": float(np.median(ms)),
        "p90": float(np.percentile(ms, 90)) if n >= P90_FROM else None,
        "p99": float(np.percentile(ms, 99)) if n >= P99_FROM else None,
    }


def synthetic(encoder: Encoder, tokens: int, n: int, seed: int = 0) -> list[dict]:
    """`n` features of `tokens` random ordinary tokens each."""
    vocabulary = encoder.config.vocab_size
    ids = torch.randint(min(10, vocabulary - 1), vocabulary, (n, tokens), generator=torch.Generator().manual_seed(seed)).tolist()
    return [{"ids": [row], "row": i, "cut": False} for i, row in enumerate(ids)]


def features_of(encoder: Encoder, texts: list[str], max_length: int) -> list[dict]:
    """Texts as features, one sequence each; what is longer than `max_length` tokens is cut and marked."""
    whole = encoder.tokenizer(texts, return_attention_mask=False, verbose=False)["input_ids"]
    return [{"ids": [ids if len(ids) <= max_length else [*ids[: max_length - 1], ids[-1]]], "row": i, "cut": len(ids) > max_length}
            for i, ids in enumerate(whole)]  # fmt: skip


def sweep(encoder: Encoder, lengths: list[int], batches: list[int], seconds: float, iterations: int) -> list[dict]:
    """Milliseconds and a GPU's peak (MiB) per batch for each length and batch size; a batch that does not fit is a hole with the memory
    that it asked for."""
    limit = longest(encoder.config)
    points = []
    for tokens in lengths:
        if limit and tokens > limit:
            points.append({"length": tokens, "batch": None, "hole": f"longer than the {limit} tokens that the encoder reads"})
            continue
        for batch in batches:
            point = {"length": tokens, "batch": batch}
            try:
                points.append(point | _batch_time(encoder, synthetic(encoder, tokens, batch), seconds, iterations))
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if "memory" not in str(error).lower():
                    raise
                points.append(point | {"hole": " ".join(str(error).split())[:160]})
                if encoder.device.type == "cuda":
                    torch.cuda.empty_cache()
    return points


def _batch_time(encoder: Encoder, features: list[dict], seconds: float, iterations: int) -> dict:
    budget = len(features) * (length(features[0]) + 8)  # one batch
    fresh_peaks(encoder.device)
    forward(encoder, features, first_tokens, budget)
    spent: list[float] = []
    begun = time.perf_counter()
    while len(spent) < max(1, iterations) or time.perf_counter() - begun < seconds:
        synchronize(encoder.device)
        start = time.perf_counter()
        forward(encoder, features, first_tokens, budget)
        synchronize(encoder.device)
        spent.append(time.perf_counter() - start)
    return {"ms": 1000 * float(np.median(spent)), "calls": len(spent), "allocated": memory(encoder.device)["allocated"]}


# ---------------------------------------------------------------- memory, energy, honesty


def fresh_peaks(device: torch.device) -> None:
    """Count a GPU's peaks anew, from what it holds now (the weights); blocks that torch keeps from earlier work are given back first."""
    if device.type == "cuda":
        synchronize(device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def memory(device: torch.device) -> dict:
    """MiB: a GPU's peaks since `fresh_peaks`, as torch allocated and reserved them; the process's peak resident memory since it began, which
    cannot be counted anew. What is absent is None."""
    gpu = device.type == "cuda"
    return {
        "allocated": torch.cuda.max_memory_allocated(device) / 2**20 if gpu else None,
        "reserved": torch.cuda.max_memory_reserved(device) / 2**20 if gpu else None,
        "resident": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
    }


def energy_counter(device: torch.device):
    """A function that reads joules used so far: NVML's counter on a GPU, RAPL's package counter on a CPU; None where neither is."""
    if device.type == "cuda":
        with contextlib.suppress(Exception):  # no NVML, or a card without the counter: energy is absent, timing goes on
            import pynvml

            pynvml.nvmlInit()
            handle = pynvml.nvmlDeviceGetHandleByIndex(torch.cuda.current_device())
            pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
            return lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000
        return None
    return (lambda: int(RAPL.read_text()) / 1e6) if os.access(RAPL, os.R_OK) else None


def joules(encoder: Encoder, features: list[dict], seconds: float) -> float | None:
    """Joules per example of the offline scenario, of the whole card or package; None where no counter can be read."""
    counter = energy_counter(encoder.device)
    if counter is None:
        return None
    before, start, done = counter(), time.perf_counter(), 0
    while not done or time.perf_counter() - start < max(seconds, 0.5):
        forward(encoder, features, first_tokens)
        done += len(features)
    synchronize(encoder.device)
    used = counter() - before
    return used / done if used > 0 else None  # RAPL's counter starts again from zero now and then


@dataclass(frozen=True)
class Usage:
    """Seconds: the time of day, processor time of the whole machine, and of this process."""

    wall: float
    machine: float
    own: float

    @classmethod
    def now(cls) -> "Usage":
        """Idle time and waiting for a disk do not count; time that other guests of the same hardware took does."""
        import psutil  # `make gpu` has it not

        times = psutil.cpu_times()
        busy = sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq", "steal"))
        return cls(time.monotonic(), busy, time.process_time())

    def others(self, since: "Usage") -> float:
        """Cores that other processes used since then, on average."""
        return max(0.0, (self.machine - since.machine) - (self.own - since.own)) / (self.wall - since.wall)


def flags(device: torch.device, repeated: float, distinct: float, others: float) -> list[str]:
    """What makes these times doubtful: other work on the machine (`others`, cores), a slowed clock, times that depend on having seen an
    example before."""
    doubts = []
    if others > OTHERS:
        doubts.append(f"other processes used {others:.1f} of {os.cpu_count()} cores")
    if abs(repeated / distinct - 1) > AGREE:
        doubts.append(f"one example repeated takes {repeated / distinct:.2f} times as long as different ones of its length")
    if device.type == "cuda":
        with contextlib.suppress(Exception):
            import pynvml

            pynvml.nvmlInit()
            handle = pynvml.nvmlDeviceGetHandleByIndex(torch.cuda.current_device())
            strangers = [p for p in pynvml.nvmlDeviceGetComputeRunningProcesses(handle) if p.pid != os.getpid()]
            doubts += ["another process was on the GPU"] if strangers else []
            slow = pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle) & ~(pynvml.nvmlClocksThrottleReasonGpuIdle)
            doubts += ["the GPU's clock was throttled"] if slow else []
    return doubts


def repeated_and_distinct(encoder: Encoder, tokens: int, n: int = 24) -> tuple[float, float]:
    """Median seconds of one example again and again, and of `n` different ones of the same length, interleaved."""
    features = synthetic(encoder, tokens, n)
    times: tuple[list[float], list[float]] = ([], [])
    for feature in features[:WARM_UP]:
        forward(encoder, [feature], first_tokens)
    for feature in features:
        for which, one in enumerate((features[0], feature)):
            synchronize(encoder.device)
            start = time.perf_counter()
            forward(encoder, [one], first_tokens)
            synchronize(encoder.device)
            times[which].append(time.perf_counter() - start)
    return float(np.median(times[0])), float(np.median(times[1]))


# ---------------------------------------------------------------- the whole measurement


def variants(encoder: Encoder, names: list[str], features: list[dict], seconds: float) -> list[dict]:
    """Latency and throughput under other settings, `<precision>/<attention>[/compiled]`; int8 is torch's dynamic quantization on a CPU.

    A variant that the device or the encoder cannot run is a hole with the reason.
    """
    measured = []
    for name in names:
        try:
            other = encoder.variant(name)
            measured.append({"variant": name, "median": percentiles(single_stream(other, features, seconds))["median"],
                          "throughput": offline(other, features, seconds)})  # fmt: skip
        except (RuntimeError, ValueError, ImportError) as error:
            measured.append({"variant": name, "hole": " ".join(str(error).split())[:160]})
    return measured


def variant_names(encoder: Encoder, asked: list[str]) -> list[str]:
    """The study's variants; on a GPU packing too for an encoder that can, since scoring may run so there."""
    name = f"fp32/{packing.NAME}"
    packs = encoder.device.type == "cuda" and encoder.config.model_type in packing.FIRST_POSITION
    return [*asked, name] if packs and name not in asked else asked


def measure(encoder: Encoder, features: dict[str, list[dict]], settings) -> dict:
    """One repetition of everything, in milliseconds, examples per second, MiB and joules, and the FLOP/s of a matrix product.

    `features` are evaluation examples by language, `settings` the study's timing parameters.
    """
    every, begun = [feature for of_language in features.values() for feature in of_language], Usage.now()
    repeated, distinct = repeated_and_distinct(encoder, int(np.median([length(f) for f in every])))
    streams = {
        language: single_stream(encoder, of_language, settings.seconds, settings.iterations) for language, of_language in features.items()
    }
    measured = {
        "latency_ms": percentiles(np.concatenate(list(streams.values()))),
        "by_language_ms": {language: 1000 * float(np.median(spent)) for language, spent in streams.items()},
        **scored(encoder, every, settings.seconds),  # before what takes more memory
        "matrix_rate": matrix_rate(encoder.device, encoder.precision),
        "sweep": sweep(encoder, settings.lengths, settings.batches, settings.seconds, settings.iterations),
        "variants": variants(encoder, variant_names(encoder, settings.variants), every, settings.seconds),
        "joules": joules(encoder, every, settings.seconds),
        "repeated_over_distinct": repeated / distinct,
        "threads": torch.get_num_threads(),
        "tf32": tf32(encoder.device),
    }
    return measured | {"flags": flags(encoder.device, repeated, distinct, Usage.now().others(begun))}


def exact(encoder: Encoder, features: dict[str, list[dict]]) -> dict:
    """What follows from lengths and architecture alone: tokens and GFLOPs per example, in all and by language."""
    tokens = {language: [sum(map(len, f["ids"])) for f in of_language] for language, of_language in features.items()}
    work = {
        language: [sum(flops(encoder.config, len(ids)) for ids in f["ids"]) / 1e9 for f in of_language]
        for language, of_language in features.items()
    }
    return {
        "examples": sum(map(len, features.values())),
        "tokens_per_example": float(np.mean([n for of_language in tokens.values() for n in of_language])),
        "gflops_per_example": float(np.mean([n for of_language in work.values() for n in of_language])),
        "tokens_by_language": {language: float(np.mean(of_language)) for language, of_language in tokens.items()},
        "gflops_by_language": {language: float(np.mean(of_language)) for language, of_language in work.items()},
    }

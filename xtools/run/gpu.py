"""`make gpu`: all that is to be known of a GPU, in under eight minutes, with torch, transformers and safetensors alone.

Each step runs in a process of its own, forked before the GPU is touched: what fails or takes too long is told, and the rest goes on. The
results so far are written after each step.
"""

import argparse
import json
import multiprocessing
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import torch
import transformers

from xtools import ROOT, batching, encoder, learning, memory, timing
from xtools.disk import whole
from xtools.encoder import Encoder
from xtools.run import contest

LIMIT = 460  # seconds of all steps together
EACH = 150  # seconds of a step at most
WAYS = {  # precision, how batches run, whether fp32 products are rounded to TF32; the first is what the others are held against
    "padded fp32": ("fp32", "padded", False),
    "packed fp32": ("fp32", "packed", False),
    "padded tf32": ("fp32", "padded", True),
    "padded bf16": ("bf16", "padded", False),
    "packed bf16": ("bf16", "packed", False),
    "compiled bf16": ("bf16", "compiled", False),
}


# ---------------------------------------------------------------- steps: each a function of device and shapes


def rates(device: torch.device, shapes: list[str]) -> dict:
    """FLOP/s of a large matrix product in fp32, TF32 and bf16; of a small one on a CPU, many of which take minutes to one in bf16."""
    size = 256 if device.type == "cpu" else 4096
    found = {precision: timing.matrix_rate(device, precision, size) for precision in ("fp32", "bf16")}
    if device.type == "cuda":
        timing.matrix_rate.cache_clear()
        allow_tf32()
        found["tf32"] = timing.matrix_rate(device, "fp32", size)
    return found


def agreement(device: torch.device, shapes: list[str]) -> dict:
    """For each way of computing, how far its states, gradients and scores lie from those of padded fp32, with the same weights. On a CPU
    nothing is compiled: that takes a minute and is for GPUs."""
    config = contest.config_for(shapes[0], contest.LONGEST)
    features = contest.examples(64, config.vocab_size, contest.MEAN, 0)
    found: dict[str, dict] = {}
    reference = None
    for name, (precision, batches, tf32) in WAYS.items():
        if batches == "compiled" and device.type == "cpu":
            continue
        try:
            made = observed(contest.ours(config, device, precision, batches), features, tf32)
        except Exception as error:
            found[name] = {"failed": told(error)}
            continue
        reference = reference or made
        found[name] = compared(made, reference)
    return found


def observed(made: Encoder, features: list[dict], tf32: bool) -> dict[str, torch.Tensor]:
    """Hidden states of all tokens, a batch's gradient, and the logits of a classification head, all without dropout.

    Matrices are made as large as a trained model's, so that attention is not flat and layers are not lost beside what they add to.
    """
    allow_tf32(tf32)
    torch.manual_seed(1)
    for weight in made.model.base_model.parameters():
        torch.nn.init.normal_(weight, std=1.4 * made.config.hidden_size**-0.5) if weight.ndim > 1 else None
    head = learning.new_head(made, contest.TASK).eval()
    made.model.eval()
    batch = batching.collate(features, contest.Words.pad_token_id)
    keep = (batch["ids"] != contest.Words.pad_token_id).to(made.device)
    states = made.hidden(batch["ids"])
    logits = head(states, batch)
    learning.format_of(contest.TASK).loss(logits, batch).backward()
    slopes = [weight.grad.flatten() for weight in made.model.base_model.parameters() if weight.grad is not None]
    return {"states": states.detach()[keep].flatten(), "gradient": torch.cat(slopes), "logits": logits.detach()}


def compared(made: dict[str, torch.Tensor], reference: dict[str, torch.Tensor]) -> dict[str, float]:
    """Differences relative to the reference's size, the cosine of the gradients, and the share of predictions that are the same."""
    apart = {name: float((made[name] - reference[name]).norm() / reference[name].norm()) for name in ("states", "gradient")}
    cosine = torch.nn.functional.cosine_similarity(made["gradient"].double(), reference["gradient"].double(), dim=0)
    same = (made["logits"].argmax(-1) == reference["logits"].argmax(-1)).float().mean()
    largest = (made["logits"] - reference["logits"]).abs().max()
    return {**apart, "gradient_cosine": float(cosine), "logits": float(largest), "same_predictions": float(same)}


def speed(shape: str) -> Callable[[torch.device, list[str]], dict]:
    """Training and scoring at a shape against the Trainer, with utilisation: the share of the measured product's rate."""

    def run(device: torch.device, shapes: list[str]) -> dict:
        small = device.type == "cpu"
        return contest.speed(shape, contest.MEAN, 16 if small else 256, 8 if small else 32, 1 if small else 2, device, say)

    return run


def latency(device: torch.device, shapes: list[str]) -> dict:
    """Milliseconds of a scored batch by length and size, and the memory that it takes, at each shape."""
    lengths, batches = ([16, 64], [1, 4]) if device.type == "cpu" else ([16, 64, 128, 256, 512], [1, 8, 64])
    found = {}
    for shape in shapes:
        made = timing.comparable(contest.ours(contest.config_for(shape, max(lengths)), device, "fp32", "padded"))
        made.model.eval()
        found[shape] = timing.sweep(made, lengths, batches, 0.2, 3)
    return found


def training_memory(device: torch.device, shapes: list[str]) -> dict:
    """Milliseconds and the peak (MiB) of a training step of 4 x 384 tokens, estimated (`memory.step`) and measured, with and without
    recomputing; and the tokens of a part on this card."""
    chosen = encoder.choose_precision("auto", device, encoder.NARROW)
    width, found = 384, {}
    for shape in shapes:
        for again in (False, True):
            made = contest.ours(contest.config_for(shape, width), device, chosen, "padded")
            made = memory.recompute(made) if again else made
            step = {"estimated": memory.step(made, 4 * width, width) / 2**20, "tokens": memory.budget(made, width, width)}
            found[f"{shape}, {'recomputed' if again else 'kept'}"] = step | training_step(made, width)
            del made
    return found


def training_step(made: Encoder, width: int) -> dict:
    """The third of three training steps of four examples of `width` tokens, in two parts: its milliseconds, and a GPU's peak (MiB)."""
    features = contest.examples(8, made.config.vocab_size, width, 0)
    head = learning.new_head(made, contest.TASK)
    modules = torch.nn.ModuleDict({"encoder": made.model.base_model, "head": head}).train()
    optimizer = torch.optim.AdamW(modules.parameters(), lr=1e-5, fused=True)
    stream = learning.task_stream(made, head, contest.TASK, features)
    for _ in range(3):
        timing.fresh_peaks(made.device)
        timing.synchronize(made.device)
        start = time.perf_counter()
        for part in ([0, 1, 2, 3], [4, 5, 6, 7]):
            (stream.loss(part) / 2).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        timing.synchronize(made.device)
    return {"ms": 1000 * (time.perf_counter() - start), "measured": timing.memory(made.device)["allocated"]}


def steps(shapes: list[str]) -> dict[str, Callable]:
    """The steps by name, what matters most first."""
    fast = {f"speed of {shape}": speed(shape) for shape in shapes}
    return {"rates": rates, "agreement": agreement, "training memory": training_memory, **fast, "latency": latency}


# ---------------------------------------------------------------- running them


def allow_tf32(on: bool = True) -> None:
    torch.backends.cuda.matmul.fp32_precision = "tf32" if on else "ieee"


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def told(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def alone(step: Callable, seconds: float, *given) -> dict:
    """What a step gives, in a process of its own: `result`, or `failed` with the reason; and the `seconds` that it took."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_run, args=(theirs, step, given))
    began = time.monotonic()
    child.start()
    theirs.close()
    try:
        found = ours.recv() if ours.poll(seconds) else {"failed": f"not done after {seconds:.0f} s"}
    except EOFError:
        child.join()
        found = {"failed": f"its process ended with status {child.exitcode}"}
    child.kill()
    child.join()
    return found | {"seconds": round(time.monotonic() - began, 1)}


def _run(answer, step: Callable, given: tuple) -> None:
    try:
        answer.send({"result": step(*given)})
    except BaseException as error:
        answer.send({"failed": told(error)})


def machine(device: torch.device) -> dict:
    """What was measured on, as far as it can be read."""
    versions = {name: metadata.version(name) for name in ("torch", "transformers", "safetensors")}
    there = {"name": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        there = {"name": card.name, "capability": f"{card.major}.{card.minor}", "memory": card.total_memory, "cuda": torch.version.cuda}
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    return there | versions | {"commit": commit or "unknown"}


def main(words: list[str] | None = None) -> int:
    """Run all steps, telling each as it ends; the exit status is 1 where one failed."""
    parser = argparse.ArgumentParser(prog="xtools.run.gpu", description=__doc__)
    parser.add_argument("--shapes", nargs="+", choices=contest.SHAPES, help="default: base and large on a GPU, toy on a CPU")
    parser.add_argument("--output", type=Path, help="default: results/gpu-<name>.json")
    asked = parser.parse_args(words)
    transformers.utils.logging.set_verbosity_error()
    gpu = torch.cuda.device_count() > 0  # asked so, CUDA is not started here
    device = torch.device("cuda" if gpu else "cpu")
    shapes, begun = asked.shapes or (["base", "large"] if gpu else ["toy"]), time.monotonic()
    result: dict = {"machine": alone(machine, 60, device), "shapes": shapes, "trainer": contest.lacks_trainer() or "compared", "steps": {}}
    name = "-".join(re.findall("[a-z0-9]+", result["machine"].get("result", {}).get("name", device.type).lower())[:5])
    path = asked.output or ROOT / "results" / f"gpu-{name}.json"
    for step, run in steps(shapes).items():
        left = min(EACH, LIMIT - (time.monotonic() - begun))
        found = alone(run, left, device, shapes) if left > 5 else {"failed": "no time was left", "seconds": 0.0}
        result["steps"][step] = found
        say(f"{step}: {found.get('failed', 'done')} ({found['seconds']:.0f} s)")
        with whole(path) as partial:
            partial.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{contest.lacks_trainer()}\nwritten: {path}".strip())
    return int(any("failed" in found for found in result["steps"].values()))


if __name__ == "__main__":
    sys.exit(main())

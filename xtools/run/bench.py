"""`make bench`: this project's fast path against the Hugging Face Trainer, on the same model, examples, device and batch size.

Needs neither `datasets` nor papermill, save for the cell overhead, which is measured where papermill is installed. Every contestant is
timed once a round, the rounds interleave them, and what counts is the median of the rounds' ratios: the machine's noise hits all alike.
"""

import argparse
import contextlib
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from xtools import ROOT, batching, encoder, finetuning, scoring, tasks, timing
from xtools.encoder import Encoder
from xtools.settings import Training
from xtools.tasks import classification, mining, retrieval, search
from xtools.training import Stream, plan_steps, train

MEAN, SPREAD = 37, 0.5  # of XNLI's pairs in XLM-R's sub-words: mean, and standard deviation of the log
LONGEST = 128
TASK = tasks.get("xnli")
SHAPES = {  # layers, hidden, heads, vocabulary
    "mini": (6, 384, 12, 32_000),
    "base": (12, 768, 12, 250_002),
    "large": (24, 1024, 16, 250_002),
}


class Words:
    """What training and scoring ask of a tokenizer, for examples that are token ids already."""

    pad_token_id, sep_token_id = 1, 2


def examples(n: int, vocabulary: int, mean: int, seed: int) -> list[dict]:
    """Encoded examples of random tokens with random labels: lengths log-normal around `mean` and cut at `LONGEST`; from there on all alike."""
    rng = random.Random(seed)
    lengths = [
        mean if mean >= LONGEST else min(LONGEST, max(6, round(mean * rng.lognormvariate(-(SPREAD**2) / 2, SPREAD)))) for _ in range(n)
    ]
    return [
        {"ids": [[0, *rng.choices(range(5, vocabulary), k=k - 2), 2]], "row": i, "label": rng.randrange(3), "cut": False}
        for i, k in enumerate(lengths)
    ]


def config_for(shape: str, longest: int):
    """XLM-R's config at a shape, with its dropout and room for `longest` tokens."""
    layers, hidden, heads, vocabulary = SHAPES[shape]
    config = encoder.new_config(vocabulary, layers, hidden, heads, max(longest, LONGEST))
    config.update({"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "num_labels": 3})
    return config


def ours(config, device: torch.device, precision: str, batches: str = "auto") -> Encoder:
    """This project's encoder as a study would load it."""
    from transformers import XLMRobertaForMaskedLM

    torch.manual_seed(0)
    config = config.__class__(**config.to_dict())
    config._attn_implementation = encoder.choose_attention(device)
    return encoder.choose_batches(batches, Encoder(XLMRobertaForMaskedLM(config).to(device), Words(), precision))


def our_training(model: Encoder, features: list[dict], batch_size: int) -> float:
    """Seconds of one epoch of this project's training loop."""
    head = finetuning.new_head(model, TASK)
    modules = torch.nn.ModuleDict({"encoder": model.model.base_model, "head": head})
    stream = finetuning.task_stream(model, head, TASK, features)
    settings = Training(learning_rate=1e-5, epochs=1, batch_size=batch_size, max_length=LONGEST)
    timing.synchronize(model.device)
    start = time.perf_counter()
    train(modules, [stream], settings, 0)
    timing.synchronize(model.device)
    return time.perf_counter() - start


def our_inference(model: Encoder, features: list[dict]) -> float:
    """Seconds of scoring all examples."""
    head = finetuning.new_head(model, TASK).eval()
    model.model.eval()
    timing.synchronize(model.device)
    start = time.perf_counter()
    scoring.forward(model, features, lambda e, batch: classification.decode(head(e.hidden(batch["ids"]), batch), batch, TASK))
    timing.synchronize(model.device)
    return time.perf_counter() - start


def trainer(config, features: list[dict], batch_size: int, how: str, precision: str):
    """The Hugging Face Trainer on the same examples: padded to the longest length there can be (as its example scripts do), to the
    batch's longest, or so with length grouping. Returns (training, inference), functions that give seconds."""
    from transformers import Trainer, TrainerCallback, TrainingArguments, XLMRobertaForSequenceClassification

    rows = [{"input_ids": f["ids"][0], "labels": f["label"]} for f in features]
    widest = max(LONGEST, max(len(row["input_ids"]) for row in rows))

    def collate(batch: list[dict]) -> dict:
        width = widest if how == "pad to max" else max(len(row["input_ids"]) for row in batch)
        ids = torch.tensor([row["input_ids"] + [1] * (width - len(row["input_ids"])) for row in batch])
        return {"input_ids": ids, "attention_mask": (ids != 1).long(), "labels": torch.tensor([row["labels"] for row in batch])}

    class Clock(TrainerCallback):
        def on_train_begin(self, *args, **kwargs):
            self.start = time.perf_counter()

        def on_train_end(self, *args, **kwargs):
            self.seconds = time.perf_counter() - self.start

    torch.manual_seed(0)
    clock = Clock()
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(prefix="xtools-bench-"),
        per_device_train_batch_size=batch_size,
        per_device_eval_batch_size=batch_size,
        num_train_epochs=1,
        learning_rate=1e-5,
        bf16=precision == "bf16",
        train_sampling_strategy="group_by_length" if how == "length grouping" else "random",
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
    )
    made = Trainer(XLMRobertaForSequenceClassification(config), arguments, data_collator=collate, train_dataset=rows, callbacks=[clock])
    made.remove_callback(next((c for c in made.callback_handler.callbacks if type(c).__name__ == "PrinterCallback"), None))

    def training() -> float:
        with contextlib.redirect_stdout(sys.stderr):
            made.train()
        return clock.seconds

    def inference() -> float:
        start = time.perf_counter()
        made.predict(rows)
        return time.perf_counter() - start

    return training, inference


def interleaved(contestants: dict, rounds: int, say) -> dict[str, list[float]]:
    """Seconds of each contestant per round; one round more comes first and is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for i in range(rounds + 1):
        for name, run in contestants.items():
            spent = run()
            say(f"{'warm-up' if i == 0 else f'round {i} of {rounds}'}: {name} {spent:.2f} s")
            if i:
                seconds[name].append(spent)
    return seconds


def data_share(model: Encoder, features: list[dict], batch_size: int, seconds: float) -> float:
    """The share of training's wall time that is not forward, backward or optimizer: planning and collating, run alone."""
    stream = Stream("data", [batching.length(f) for f in features], lambda indices: None)
    start = time.perf_counter()
    for _, batch in plan_steps([stream], batch_size, 1, 0):
        batching.collate([features[i] for i in batch], 1)
    return (time.perf_counter() - start) / seconds


def speed(shape: str, mean: int, n: int, batch_size: int, rounds: int, device: torch.device, say) -> dict:
    """Training and inference against the Trainer's three ways of padding, all in fp32 on a CPU and bf16 on a GPU; on a CPU ours in the
    precision that a study chooses there too (though a study scores in fp32), on a GPU our training padded and compiled too."""
    config = config_for(shape, mean)
    features = examples(n, config.vocab_size, mean, 0)
    chosen = encoder.choose_precision("auto", device, config.hidden_size)
    precisions = list(dict.fromkeys(["fp32", chosen])) if device.type == "cpu" else [chosen]
    training, inference, encoders = {}, {}, {}
    for precision in precisions:
        encoders[precision] = ours(config, device, precision)
        training[f"ours, {precision}"] = lambda p=precision: our_training(encoders[p], features, batch_size)
        inference[f"ours, {precision}"] = lambda p=precision: our_inference(encoders[p], features)
    for batches in ("padded", "compiled") if device.type == "cuda" else ():
        encoders[batches] = ours(config, device, chosen, batches)
        training[f"ours {batches}, {chosen}"] = lambda b=batches: our_training(encoders[b], features, batch_size)
    for how in ("pad to max", "dynamic padding", "length grouping"):
        name = f"Trainer, {how}, {precisions[0]}"
        training[name], inference[name] = trainer(config, features, batch_size, how, precisions[0])
    forward = sum(timing.flops(config, len(f["ids"][0])) for f in features)
    tokens = sum(len(f["ids"][0]) for f in features)
    result: dict = {"shape": shape, "examples": n, "batch_size": batch_size, "mean_length": tokens / n, "rounds": rounds}
    for phase, contestants, flops in (("training", training, 3 * forward), ("inference", inference, forward)):
        seconds = interleaved(contestants, rounds, lambda line, phase=phase: say(f"{shape} {phase}, {line}"))
        result[phase] = {name: summary(name, seconds, flops, tokens, n, device) for name in seconds}
    fastest = f"ours, {precisions[-1]}"
    result["data_share"] = data_share(encoders[precisions[-1]], features, batch_size, result["training"][fastest]["seconds"])
    return result


def summary(name: str, seconds: dict[str, list[float]], flops: float, tokens: int, n: int, device: torch.device) -> dict:
    """Median and range of a contestant's time, its rates, utilisation, and the factors by which ours are faster, round by round."""
    spent, precision = seconds[name], name.rpartition(", ")[2]
    median = statistics.median(spent)
    ratios = {
        rival: [a / b for a, b in zip(spent, seconds[rival], strict=True)]
        for rival in seconds
        if rival.startswith("ours") and rival != name
    }
    return {
        "seconds": median,
        "range": [min(spent), max(spent)],
        "examples_per_s": n / median,
        "tokens_per_s": tokens / median,
        "utilisation": flops / median / timing.matrix_rate(device, precision),
        "slower_than": {rival: {"median": statistics.median(r), "range": [min(r), max(r)]} for rival, r in ratios.items()},
    }


def search_speed(rounds: int, queries: int = 2_000, candidates: int = 100_000, width: int = 768) -> dict:
    """Exact search for 20 neighbours against the matrix product that it cannot do without, in rounds."""
    rng = np.random.default_rng(0)
    q, c = (rng.standard_normal((n, width), dtype=np.float32) for n in (queries, candidates))
    ratios, seconds = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        search.nearest(q, c, retrieval.K)
        middle = time.perf_counter()
        for block in range(0, candidates, 10_000):
            _ = q @ c[block : block + 10_000].T
        seconds.append(middle - start)
        ratios.append((middle - start) / (time.perf_counter() - middle))
    return {
        "queries": queries, "candidates": candidates, "width": width, "seconds": statistics.median(seconds),
        "over_product": {"median": statistics.median(ratios), "range": [min(ratios), max(ratios)]},
    }  # fmt: skip


def mining_speed(n: int, width: int = 384, device: torch.device = search.CPU) -> dict:
    """Mining two sets of `n` random vectors, as a cell holds large ones: seconds and this process's peak of memory [bytes], measured and as
    `make plan` would have it. Where other processes have the cores too, `cpu_seconds`, of all threads, say what it took."""
    from xtools.run import estimate

    foreseen = estimate.Machine("here", 1.0, timing.matrix_rate(device, "fp32")).hours(0, estimate.products(n, n, width)) * 3600
    rng = np.random.default_rng(0)
    x, y = (_unit_vectors(rng, n, width) for _ in range(2))
    idle, start, before = search.idle_cores(), time.perf_counter(), time.process_time()
    pairs = mining.mine(x, y, device)
    seconds, spent = time.perf_counter() - start, time.process_time() - before
    return {
        "rows": n, "width": width, "idle_cores": idle, "pairs": len(pairs),
        "seconds": seconds, "cpu_seconds": spent, "estimated_seconds": foreseen,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "estimated_memory": estimate.search_memory(2 * n, 2 * n, width),
    }  # fmt: skip


def _unit_vectors(rng: np.random.Generator, n: int, width: int) -> np.ndarray:
    """Random directions [n, width] in fp16, made a part at a time."""
    vectors = np.empty((n, width), np.float16)
    for start in range(0, n, 10_000):
        part = rng.standard_normal((min(10_000, n - start), width), dtype=np.float32)
        vectors[start : start + 10_000] = part / np.linalg.norm(part, axis=1, keepdims=True)
    return vectors


def cell_overhead(rounds: int) -> dict | None:
    """Seconds that a cell costs beside its own work, here and with papermill's own command; None without papermill.

    The notebook imports torch and transformers, as every phase does, and does nothing else.
    """
    try:
        import nbformat
        import papermill  # noqa: F401
    except ImportError:
        return None
    from xtools.run import engine, warm

    cells = [nbformat.v4.new_code_cell(code) for code in ("", "import torch, transformers\nfrom xtools import study")]
    cells[0]["metadata"]["tags"] = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3"}
    seconds: dict[str, list[float]] = {"ours": [], "papermill": []}
    with tempfile.TemporaryDirectory() as folder, engine.cell_server() as address:
        source = Path(folder, "empty.ipynb")
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), source)
        for i in range(rounds + 1):
            start = time.perf_counter()
            if warm.ask(address, str(source), str(Path(folder, "ours.ipynb"))):
                return None
            middle = time.perf_counter()
            command = [sys.executable, "-m", "papermill", str(source), str(Path(folder, "out.ipynb"))]
            subprocess.run(command, check=True, capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
            if i:
                seconds["ours"].append(middle - start)
                seconds["papermill"].append(time.perf_counter() - middle)
    return {name: {"median": statistics.median(s), "range": [min(s), max(s)]} for name, s in seconds.items()}


def table(result: dict) -> Table:
    """The result for people."""
    shown = Table("", "", "examples/s", "tokens/s", "utilisation", "ours is faster by", title=result["machine"])
    for run in result["runs"]:
        for phase in ("training", "inference"):
            for name, r in run[phase].items():
                factors = [f"{v['median']:.2f} ({k.removeprefix('ours, ')})" for k, v in r["slower_than"].items()]
                shown.add_row(
                    f"{run['shape']}, {run['mean_length']:.0f} tokens, {phase}", name, f"{r['examples_per_s']:.1f}",
                    f"{r['tokens_per_s']:,.0f}", f"{r['utilisation']:.0%}", ", ".join(factors) if not name.startswith("ours") else "",
                )  # fmt: skip
    return shown


def main(words: list[str] | None = None) -> int:
    """Measure, print the table, write results/bench-<device>.json; with `--mining`, time that alone and print it."""
    from xtools import records

    parser = argparse.ArgumentParser(prog="xtools.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--examples", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=None)
    parser.add_argument("--lengths", nargs="+", type=int, default=[MEAN])
    parser.add_argument("--output", type=Path, default=None)
    parser.add_argument("--mining", type=int, default=None, help="mine two sets of so many vectors, and do nothing else")
    asked = parser.parse_args(words)
    device = encoder.choose_device("auto")
    if asked.mining:
        print(json.dumps(mining_speed(asked.mining, device=device), indent=1))
        return 0
    machine = records.machine()
    result: dict = {
        "machine": f"{machine.gpu or machine.cpu}, {torch.get_num_threads()} threads, torch {torch.__version__}",
        "commit": records.commit(),
    }
    shapes = asked.shapes or (["mini"] if device.type == "cpu" else ["base", "large"])
    console = Console(stderr=True)
    result["runs"] = [
        speed(shape, mean, asked.examples, asked.batch_size, asked.rounds, device, console.print)
        for shape in shapes
        for mean in asked.lengths
    ]
    result["search"] = search_speed(asked.rounds)
    result["cell"] = cell_overhead(asked.rounds)
    Console(width=160).print(table(result))
    search = result["search"]["over_product"]
    print(f"search: {search['median']:.2f} times the time of the matrix product alone")
    print(f"data work: {result['runs'][0]['data_share']:.1%} of training's time")
    if result["cell"]:
        print("cell: " + ", ".join(f"{name} {value['median']:.2f} s" for name, value in result["cell"].items()))
    path = asked.output or ROOT / "results" / f"bench-{'gpu' if device.type == 'cuda' else 'cpu'}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

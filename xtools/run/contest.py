"""Training and scoring against the Hugging Face Trainer, on the same model, examples, device and batch size.

Needs torch and transformers alone, the Trainer accelerate too. Every contestant is timed once a round, the rounds interleave them, and what
counts is the median of the rounds' ratios: the machine's noise hits all alike.
"""

import contextlib
import importlib.util
import multiprocessing
import random
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from types import SimpleNamespace

import torch

from xtools import batching, disk, encoder, learning, processes, scoring, timing, vocabulary
from xtools.encoder import Encoder
from xtools.tasks import classification
from xtools.training import Stream, plan_steps, train

MEAN, SPREAD = 37, 0.5  # of XNLI's pairs in XLM-R's sub-words: mean, and standard deviation of the log
LONGEST = 128
PIECES = 15_000  # of the vocabulary's word pieces, those that an English training set has: 9,000 pairs of MNLI have 14,778 of XLM-R's
TASK = {task.name: task for task in classification.TASKS}["xnli"]
SETTINGS = {  # of one epoch: `settings.Training`, whose module needs pydantic, has the same ones by default
    "epochs": 1,
    "learning_rate": 1e-5,
    "max_length": LONGEST,
    "examples": None,
    "cap": None,
    "warmup": 0.1,
    "warmup_steps": None,
    "decay": 0.9,
    "weight_decay": 0.01,
    "decay_embeddings": False,
    "beta2": 0.999,
    "clip": 1.0,
}
SHAPES = {  # layers, hidden, heads, vocabulary
    "toy": (2, 64, 4, 1_000),
    "minilm": (12, 384, 12, 250_037),
    "base": (12, 768, 12, 250_002),
    "large": (24, 1024, 16, 250_002),
}


class Words:
    """What training and scoring ask of a tokenizer, for examples that are token ids already."""

    pad_token_id, sep_token_id = 1, 2


def examples(n: int, vocabulary: int, mean: int, seed: int) -> list[dict]:
    """Encoded examples of random tokens, `PIECES` of the vocabulary at most, with random labels: lengths log-normal around `mean` and cut at
    `LONGEST`; from there on all alike."""
    rng = random.Random(seed)
    pieces = rng.sample(range(5, vocabulary), min(PIECES, vocabulary - 5))
    lengths = [
        mean if mean >= LONGEST else min(LONGEST, max(6, round(mean * rng.lognormvariate(-(SPREAD**2) / 2, SPREAD)))) for _ in range(n)
    ]
    return [
        {"ids": [[0, *rng.choices(pieces, k=k - 2), 2]], "row": i, "label": rng.randrange(3), "cut": False} for i, k in enumerate(lengths)
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
    """Seconds of one epoch of this project's training loop, on the word embeddings of its examples, and of what that takes around it."""
    head = learning.new_head(model, TASK)
    settings = SimpleNamespace(batch_size=batch_size, **SETTINGS)
    timing.synchronize(model.device)
    start = time.perf_counter()
    with vocabulary.training(model, vocabulary.changeable(model, {TASK.name: (TASK, features)}, settings, ())):
        modules = torch.nn.ModuleDict({"encoder": model.model.base_model, "head": head})
        train(modules, [learning.task_stream(model, head, TASK, features)], settings, 0)
    timing.synchronize(model.device)
    return time.perf_counter() - start


def our_inference(model: Encoder, features: list[dict]) -> float:
    """Seconds of scoring all examples."""
    head = learning.new_head(model, TASK).eval()
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


def peak(name: str, shape: str, mean: int, n: int, batch_size: int) -> int | None:
    """Bytes that a process of its own holds at most which does nothing but train one contestant for an epoch on the CPU, model, data and
    libraries included; None where the system does not tell."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
        return alone.submit(_trained, name, shape, mean, n, batch_size).result()


def _trained(name: str, shape: str, mean: int, n: int, batch_size: int) -> int | None:
    config, (who, *how, precision) = config_for(shape, mean), name.split(", ")
    features = examples(n, config.vocab_size, mean, 0)
    if who == "ours":
        our_training(ours(config, torch.device("cpu"), precision), features, batch_size)
    else:
        trainer(config, features, batch_size, how[0], precision)[0]()
    return processes.own_peak()


def lacks_trainer() -> str:
    """Why there is no Trainer to compare with; empty where there is."""
    return "" if importlib.util.find_spec("accelerate") else "not compared with the Trainer, which needs accelerate: pip install accelerate"


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
    for how in () if lacks_trainer() else ("pad to max", "dynamic padding", "length grouping"):
        name = f"Trainer, {how}, {precisions[0]}"
        training[name], inference[name] = trainer(config, features, batch_size, how, precisions[0])
    forward = sum(timing.flops(config, len(f["ids"][0])) for f in features)
    tokens = sum(len(f["ids"][0]) for f in features)
    result: dict = {"shape": shape, "examples": n, "batch_size": batch_size, "mean_length": tokens / n, "rounds": rounds}
    for phase, contestants, flops in (("training", training, 3 * forward), ("inference", inference, forward)):
        seconds = interleaved(contestants, rounds, lambda line, phase=phase: say(f"{shape} {phase}, {line}"))
        result[phase] = {name: summary(name, seconds, flops, tokens, n, device) for name in seconds}
    if device.type == "cpu":
        for name in training:
            result["training"][name]["memory"] = peak(name, shape, mean, n, batch_size)
            say(f"{shape} training, alone in a process: {name} holds {disk.size(result['training'][name]['memory'] or 0)}")
    if lacks_trainer():
        result["trainer"] = lacks_trainer()
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

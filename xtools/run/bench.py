"""`make bench`: this project's fast path against the Hugging Face Trainer, on the same model, examples, device and batch size.

What is measured how stands in xtools/run/contest.py; here are search, mining and the cost of a cell too, and the table.
"""

import argparse
import json
import os
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

from xtools import ROOT, encoder, timing
from xtools.disk import size
from xtools.run.contest import MEAN, SHAPES, speed
from xtools.tasks import mining, retrieval, search


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
    from xtools.run import engine

    cells = [nbformat.v4.new_code_cell(code) for code in ("", "import torch, transformers\nfrom xtools import study")]
    cells[0]["metadata"]["tags"] = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3"}
    seconds: dict[str, list[float]] = {"ours": [], "papermill": []}
    with tempfile.TemporaryDirectory() as folder, engine.cell_server() as server:
        source = Path(folder, "empty.ipynb")
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), source)
        for i in range(rounds + 1):
            start = time.perf_counter()
            if server.ask(str(source), str(Path(folder, "ours.ipynb"))):
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
    shown = Table("", "", "examples/s", "tokens/s", "utilisation", "memory", "ours is faster by", title=result["machine"])
    for run in result["runs"]:
        for phase in ("training", "inference"):
            for name, r in run[phase].items():
                factors = [f"{v['median']:.2f} ({k.removeprefix('ours, ')})" for k, v in r["slower_than"].items()]
                shown.add_row(
                    f"{run['shape']}, {run['mean_length']:.0f} tokens, {phase}", name, f"{r['examples_per_s']:.1f}",
                    f"{r['tokens_per_s']:,.0f}", f"{r['utilisation']:.0%}", size(r["memory"]) if r.get("memory") else "",
                    ", ".join(factors) if not name.startswith("ours") else "",
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
    shapes = asked.shapes or (["minilm"] if device.type == "cpu" else ["base", "large"])
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

"""What inference costs, as tables: one repetition, a study's backbones, and what was measured elsewhere and kept."""

import json
import re

import numpy as np
import pandas as pd

from xtools import ROOT, records
from xtools.problems import Problem
from xtools.report import stats
from xtools.study import Study


def utilisation(fixed: dict, times: dict) -> float:
    """The share of a matrix product's FLOP/s that the offline scenario reaches."""
    return times["throughput"] * fixed["gflops_per_example"] * 1e9 / times["matrix_rate"]


def summary(fixed: dict, times: dict) -> pd.DataFrame:
    """One repetition for people; what is absent is a dash."""

    def shown(value, form="{:.4g}"):
        return "–" if value is None else form.format(value)

    latency, used = times["latency_ms"], times["memory_mib"]
    rows = {
        f"latency, median of {latency['queries']} (ms)": shown(latency["median"]),
        "latency, 90th percentile (ms)": shown(latency["p90"]),
        "latency, 99th percentile (ms)": shown(latency["p99"]),
        "throughput (examples/s)": shown(times["throughput"]),
        "model FLOP utilisation, all at once (%)": shown(100 * utilisation(fixed, times)),
        "tokens per example": shown(fixed["tokens_per_example"]),
        "GFLOPs per example": shown(fixed["gflops_per_example"]),
        "energy (J per example)": shown(times["joules"]),
        "peak GPU memory, allocated / reserved (MiB)": f"{shown(used['allocated'])} / {shown(used['reserved'])}",
        "peak resident memory (MiB)": shown(used["resident"]),
        "one example repeated, over different ones": shown(times["repeated_over_distinct"], "{:.3f}"),
        "doubts": "; ".join(times["flags"]) or "none",
    }
    return pd.DataFrame(rows.items(), columns=["", "this repetition"])


def variants_frame(times: dict, precision: str) -> pd.DataFrame:
    """The variants of one repetition beside the setting that the study uses."""
    own = {"variant": f"as the study runs ({precision})", "median": times["latency_ms"]["median"], "throughput": times["throughput"]}
    rows = [own, *times["variants"]]
    columns = {"variant": "setting", "median": "latency (ms)", "throughput": "examples/s"}
    shown = pd.DataFrame([{new: row.get(old) for old, new in columns.items()} | {"hole": row.get("hole", "")} for row in rows])
    return shown if shown.hole.any() else shown.drop(columns="hole")


def cost_frame(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Per backbone and recipe: average score with interval, and the backbone's median latency, throughput and FLOPs."""
    averages = stats.summarize(stats.complete(stats.task_scores(table), study.targets), ["backbone", "recipe"], "score")
    averages = averages.sort_values("recipe", key=lambda recipes: recipes.map(study.recipes.index), kind="stable")
    costs = timing_table(study)[["backbone", "latency", "throughput", "gflops"]].groupby("backbone", sort=False).median().reset_index()
    return averages.merge(costs, on="backbone")


def timing_table(study: Study) -> pd.DataFrame:
    """One row per repetition: backbone, latency (ms), throughput (examples/s), GFLOPs, tokens, memory (MiB), joules, flags."""
    rows = []
    for cell in study.cells():
        record = records.read(cell) if cell.phase == "timing" else None
        if record:
            times, result = record["times"], record["result"]
            rows.append(
                {
                    "backbone": cell.backbone,
                    "latency": times["latency_ms"]["median"],
                    "p90": times["latency_ms"]["p90"],
                    "throughput": times["throughput"],
                    "utilisation": utilisation(result, times),
                    "gflops": result["gflops_per_example"],
                    "tokens": result["tokens_per_example"],
                    "memory": times["memory_mib"]["allocated"] or times["memory_mib"]["resident"],
                    "joules": times["joules"],
                    "precision": result["precision"],
                    "weights": result["weights"],
                    "tokenizer": result["tokenizer"],
                    "doubts": "; ".join(times["flags"]),
                }
            )
    columns = "backbone latency p90 throughput utilisation gflops tokens memory joules precision weights tokenizer doubts".split()
    return pd.DataFrame(rows, columns=columns)


STEADY = 3.0  # percent: coefficient of variation of latency between processes on a quiet machine
COSTS = [
    "latency (ms)", "variation (%)", "examples/s", "utilisation (%)", "GFLOPs per example", "memory (MiB)", "J per example", "repetitions", "weights", "doubts",
]  # fmt: skip


def timing_frame(study: Study) -> pd.DataFrame:
    """Cost per backbone over repetitions: medians, the 95% interval of latency, its coefficient of variation, and what makes it doubtful."""
    rows = []
    for backbone, own in timing_table(study).groupby("backbone", sort=False):
        mean, low, high = stats.interval(own.latency)
        variation = 100 * own.latency.std(ddof=1) / own.latency.mean() if len(own) > 1 else np.nan
        joules = own.joules.astype(float).median()
        rows.append(
            {
                "backbone": backbone,
                "latency (ms)": f"{mean:.3g}" + (f" [{low:.3g}, {high:.3g}]" if not np.isnan(low) else ""),
                "variation (%)": "–" if np.isnan(variation) else f"{variation:.1f}",
                "examples/s": f"{own.throughput.median():.4g}",
                "utilisation (%)": f"{100 * own.utilisation.median():.0f}",
                "GFLOPs per example": f"{own.gflops.iloc[0]:.4g}",
                "memory (MiB)": f"{own.memory.max():.0f}",
                "J per example": "–" if np.isnan(joules) else f"{joules:.3g}",
                "repetitions": len(own),
                "weights": own.weights.iloc[0] + ("" if own.tokenizer.iloc[0] == "its own" else f", tokenizer {own.tokenizer.iloc[0]}"),
                "doubts": _doubts(own, variation),
            }
        )
    return pd.DataFrame(rows, columns=["backbone", *COSTS])


def _doubts(own: pd.DataFrame, variation: float) -> str:
    """What makes a backbone's repetitions doubtful: the flags of some, or that they differ by more than `STEADY`."""
    found = [f"latency varies by more than {STEADY:.0f}%"] if variation > STEADY else []
    if any(own.doubts):
        found.append(f"{(own.doubts != '').sum()} of {len(own)} repetitions, such as: {max(own.doubts)}")
    return "; ".join(found) or "none"


def variants_table(study: Study) -> pd.DataFrame:
    """Median latency (ms) of each backbone and setting over repetitions, the study's own setting first: mean, low, high."""
    rows = []
    for cell in study.cells():
        record = records.read(cell) if cell.phase == "timing" else None
        if record:
            own = f"as scored ({record['result']['precision']})"
            found = [(own, record["times"]["latency_ms"]["median"])]
            found += [(v["variant"], v["median"]) for v in record["times"]["variants"] if "median" in v]
            rows += [(cell.backbone, setting, latency) for setting, latency in found]
    frame = pd.DataFrame(rows, columns=["backbone", "setting", "latency"])
    return stats.summarize(frame, ["backbone", "setting"], "latency") if frame.setting.nunique() > 1 else frame[:0]


def reference_frame() -> pd.DataFrame:
    """Costs that were measured on other machines and are kept with the project (results/timing-*.json), with their provenance."""
    found = [json.loads(path.read_text()) for path in sorted((ROOT / "results").glob("timing-*.json"))]
    rows = [row | {"machine": kept["machine"], "commit": kept["commit"]} for kept in found for row in kept["backbones"]]
    columns = ["backbone", *COSTS, "machine", "commit"]
    return pd.DataFrame(rows, columns=columns)


def keep_reference(study: Study) -> str:
    """Write a study's timing as a reference for others, results/timing-<processor>.json, and tell where.

    Raises Problem when nothing has been timed.
    """
    timed = [record for record in map(records.read, (c for c in study.cells() if c.phase == "timing")) if record]
    if not timed:
        raise Problem(f"{study.name}: nothing has been timed; run make timing PROFILE={study.name} first")
    machine = timed[0]["machine"]
    path = ROOT / "results" / f"timing-{'-'.join(re.findall('[a-z0-9]+', (machine['gpu'] or machine['cpu']).lower())[:4])}.json"
    kept = {
        "machine": records.on(machine),
        "commit": timed[0]["commit"],
        "study": study.name,
        "backbones": timing_frame(study).to_dict("records"),
        "variants": variants_table(study).to_dict("records"),
    }
    path.parent.mkdir(exist_ok=True)
    records.write_json(path, kept)
    return f"kept {len(timed)} repetitions in {path.relative_to(ROOT)}"


def language_cost(study: Study, backbone: str) -> tuple[dict, dict] | None:
    """Tokens and median latency (ms) per example by language over the repetitions of a backbone; None without a record."""
    found = [records.read(c) for c in study.cells() if c.phase == "timing" and c.backbone == backbone and c.record.exists()]
    if not found:
        return None
    languages = found[0]["result"]["tokens_by_language"]
    return languages, {lang: float(np.median([r["times"]["by_language_ms"][lang] for r in found])) for lang in languages}

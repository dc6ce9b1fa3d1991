"""What inference costs, as tables: one repetition, a study's backbones, and what was measured elsewhere and kept."""

import json
import re

import numpy as np
import pandas as pd

from xtools import ROOT, records, results
from xtools.disk import size
from xtools.problems import Problem
from xtools.report import stats
from xtools.report.blocks import Interval
from xtools.study import Study


def utilisation(result: results.Timing) -> float:
    """The share of a matrix product's FLOP/s that the offline scenario reaches."""
    return result.measured.throughput * result.gflops_per_example * 1e9 / result.measured.matrix_rate


def summary(result: results.Timing) -> pd.DataFrame:
    """One repetition for people; what is absent is a dash."""

    def shown(value, form="{:.4g}"):
        return "–" if value is None else form.format(value)

    measured = result.measured
    latency, used = measured.latency_ms, measured.memory_mib
    rows = {
        f"latency, median of {latency.queries} (ms)": shown(latency.median),
        "latency, 90th percentile (ms)": shown(latency.p90),
        "latency, 99th percentile (ms)": shown(latency.p99),
        "throughput (examples/s)": shown(measured.throughput),
        "model FLOP utilisation, all at once (%)": shown(100 * utilisation(result)),
        "tokens per example": shown(result.tokens_per_example),
        "GFLOPs per example": shown(result.gflops_per_example),
        "energy (J per example)": shown(measured.joules),
        "peak GPU memory of scoring all at once, allocated / reserved (MiB)": f"{shown(used.allocated)} / {shown(used.reserved)}",
        "peak resident memory, loading included (MiB)": shown(used.resident),
        "fp32 products rounded to TF32": shown(measured.tf32 and "yes" if measured.tf32 is not False else "no", "{}"),
        "one example repeated, over different ones": shown(measured.repeated_over_distinct, "{:.3f}"),
        "doubts": "; ".join(measured.flags) or "none",
    }
    return pd.DataFrame(rows.items(), columns=["", "this repetition"])


def variants_frame(result: results.Timing) -> pd.DataFrame:
    """The variants of one repetition beside the setting that all encoders are timed in."""
    measured = result.measured
    as_run = results.Variant(variant=f"as timed ({_setting(result)})", median=measured.latency_ms.median, throughput=measured.throughput)
    rows = [(v.variant, v.median, v.throughput, v.hole or "") for v in (as_run, *measured.variants)]
    shown = pd.DataFrame(rows, columns=["setting", "latency (ms)", "examples/s", "hole"])
    return shown if shown.hole.any() else shown.drop(columns="hole")


def _setting(result: results.Timing) -> str:
    """Precision and attention of the timed pass, and TF32 where it was on, as a variant would be named."""
    return f"{result.precision}/{result.attention}" + (", TF32" if result.measured.tf32 else "")


def memory(there: list[records.Record]) -> str | None:
    """What the cell that held most of memory held, and what was expected of it; None where no record has it."""
    if not (known := [record for record in there if record.peak_memory and record.expected_memory]):
        return None
    most = max(known, key=lambda record: record.peak_memory or 0)
    return (
        f"{size(most.peak_memory or 0)} in a cell at most, beside what cells share; {size(most.expected_memory or 0)} were expected of it"
    )


def sweep_memory(result: results.Timing) -> pd.DataFrame:
    """A GPU's peak (MiB allocated) of each batch of the sweep: a row a length, a column a batch size; empty on a CPU."""
    points = [(p.length, f"batch of {p.batch}", p.allocated) for p in result.measured.sweep if p.allocated is not None]
    frame = pd.DataFrame(points, columns=["tokens", "batch", "MiB"])
    return frame.pivot(index="tokens", columns="batch", values="MiB").reset_index() if points else frame


def cost_frame(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Per backbone and recipe: average score with interval, and the backbone's median latency, throughput and FLOPs."""
    averages = stats.summarize(stats.complete(stats.task_scores(table), study.targets), ["backbone", "recipe"], "score")
    averages = averages.sort_values("recipe", key=lambda recipes: recipes.map(study.recipes.index), kind="stable")
    costs = timing_table(study)[["backbone", "latency", "throughput", "gflops"]].groupby("backbone", sort=False).median().reset_index()
    return averages.merge(costs, on="backbone")


def timing_table(study: Study) -> pd.DataFrame:
    """One row per repetition: backbone, latency (ms), throughput (examples/s), GFLOPs, tokens, memory (MiB), joules, flags."""
    columns = "backbone latency p90 throughput utilisation gflops tokens memory joules precision weights tokenizer doubts".split()
    rows = [
        (
            cell.backbone,
            record.result.measured.latency_ms.median,
            record.result.measured.latency_ms.p90,
            record.result.measured.throughput,
            utilisation(record.result),
            record.result.gflops_per_example,
            record.result.tokens_per_example,
            record.result.measured.memory_mib.allocated or record.result.measured.memory_mib.resident,
            record.result.measured.joules,
            record.result.precision,
            record.result.weights,
            record.result.tokenizer,
            "; ".join(record.result.measured.flags),
        )
        for cell, record in records.of_phase(study, "timing")
    ]
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
    doubts = [f"latency varies by more than {STEADY:.0f}%"] if variation > STEADY else []
    if any(own.doubts):
        doubts.append(f"{(own.doubts != '').sum()} of {len(own)} repetitions, such as: {max(own.doubts)}")
    return "; ".join(doubts) or "none"


def variants_table(study: Study) -> pd.DataFrame:
    """Median latency (ms) of each backbone and setting over repetitions, the one that all are timed in first: mean, low, high."""
    rows = []
    for cell, record in records.of_phase(study, "timing"):
        measured = record.result.measured
        rows.append((cell.backbone, f"as timed ({_setting(record.result)})", measured.latency_ms.median))
        rows += [(cell.backbone, variant.variant, variant.median) for variant in measured.variants if variant.median is not None]
    frame = pd.DataFrame(rows, columns=["backbone", "setting", "latency"])
    return stats.summarize(frame, ["backbone", "setting"], "latency") if frame.setting.nunique() > 1 else frame[:0]


def reference_frame() -> pd.DataFrame:
    """Costs that were measured on other machines and are kept with the project (results/timing-*.json), with their provenance."""
    references = [json.loads(path.read_text()) for path in sorted((ROOT / "results").glob("timing-*.json"))]
    rows = [row | {"machine": kept["machine"], "commit": kept["commit"]} for kept in references for row in kept["backbones"]]
    columns = ["backbone", *COSTS, "machine", "commit"]
    return pd.DataFrame(rows, columns=columns)


def keep_reference(study: Study) -> str:
    """Write a study's timing as a reference for others, results/timing-<processor>.json, and tell where.

    Raises Problem when nothing has been timed.
    """
    timed = [record for _, record in records.of_phase(study, "timing")]
    if not timed:
        raise Problem(f"{study.name}: nothing has been timed; run make timing PROFILE={study.name} first")
    machine = timed[0].machine
    path = ROOT / "results" / f"timing-{'-'.join(re.findall('[a-z0-9]+', (machine.gpu or machine.cpu).lower())[:4])}.json"
    kept = {
        "machine": f"{machine}, torch {timed[0].versions['torch']}",
        "commit": timed[0].commit,
        "study": study.name,
        "backbones": timing_frame(study).to_dict("records"),
        "variants": variants_table(study).to_dict("records"),
    }
    path.parent.mkdir(exist_ok=True)
    records.write_json(path, kept)
    return f"kept {len(timed)} repetitions in {path.relative_to(ROOT)}"


def language_cost(study: Study, backbone: str) -> tuple[dict, dict]:
    """Tokens and median latency (ms) per example by language over the repetitions of a backbone; empty without a record."""
    timed = [record.result for cell, record in records.of_phase(study, "timing") if cell.backbone == backbone]
    tokens = timed[0].tokens_by_language if timed else {}
    return tokens, {language: float(np.median([result.measured.by_language_ms[language] for result in timed])) for language in tokens}


def encoder_sizes(study: Study) -> dict[str, int]:
    """Weights of each backbone without its word embeddings, from the records of the backbones."""
    sizes = {cell.backbone: record.result.parameters for cell, record in records.of_phase(study, "backbone")}
    return {backbone: size.all - size.embeddings for backbone, size in sizes.items()}


def frontier(points: pd.DataFrame) -> pd.DataFrame:
    """The points (latency, mean) that no other point beats in both: the Pareto frontier, fastest first."""
    ordered = points.sort_values(["latency", "mean"], ascending=[True, False])
    return ordered[ordered["mean"] > ordered["mean"].astype(float).cummax().shift(fill_value=-np.inf)]


NAMES = {"latency": "latency", "throughput": "throughput", "gflops": "FLOPs", "memory": "memory"}


def worth_frame(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Question 4: what going from the first backbone to the last costs and gives, recipe `none`: factors of latency, FLOPs and memory,
    points of average score, and points for each doubling of latency, FLOPs and memory."""
    times = timing_table(study).groupby("backbone")[["latency", "throughput", "gflops", "memory"]].median()
    first, last = study.first, study.last
    if not {first, last} <= set(times.index) or first == last:
        return pd.DataFrame()
    averages = stats.complete(stats.task_scores(table), study.targets)
    none = averages[averages.recipe == "none"].pivot(index="seed", columns="backbone", values="score")
    gain = (none[last] - none[first]).dropna() if {first, last} <= set(none) else pd.Series(dtype=float)
    factor = times.loc[last] / times.loc[first]
    row = {"from, to": f"{first}, {last}"} | {NAMES[what]: f"x {factor[what]:.2f}" for what in NAMES}
    row["average score (points)"] = stats.show(*stats.interval(gain), sign=True)
    for what in ("latency", "gflops", "memory"):
        doublings = np.log2(factor[what])
        each = stats.show(*stats.interval(gain / doublings), sign=True) if doublings > 0 else "–"
        row[f"points per doubling of {NAMES[what]}"] = each
    return pd.DataFrame([row])


def recipe_cost(study: Study, level: float = stats.LEVEL) -> dict[str, Interval]:
    """Question 4: per backbone, seconds of scoring all targets after intermediate training over those without it: mean over recipes of
    the ratio, with its t-interval over seeds. Intermediate training changes weights, not shapes, so it should be 1."""
    rows = [
        (cell.backbone, cell.recipe, cell.target, cell.seed, record.times["scoring"])
        for cell, record in records.of_phase(study, "target")
        if not study.serves(cell.target)
    ]
    times = pd.DataFrame(rows, columns=["backbone", "recipe", "target", "seed", "seconds"])
    wide = times.pivot_table(index=["backbone", "seed", "target"], columns="recipe", values="seconds").dropna()
    if "none" not in wide or len(wide.columns) < 2:
        return {}
    totals = wide.groupby(level=["backbone", "seed"], sort=False).sum()
    ratios = totals.drop(columns="none").div(totals["none"], axis=0).mean(axis=1).groupby(level="backbone", sort=False)
    return {backbone: Interval(*stats.interval(own, level), len(own), f"{len(own)} seeds, t") for backbone, own in ratios}

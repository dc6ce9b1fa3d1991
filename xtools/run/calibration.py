"""`make calibrate`: how hard is each task of the microworld? Source and zero-shot scores against the number of training examples."""

import csv
from concurrent.futures import ProcessPoolExecutor

import torch
from rich.console import Console
from rich.table import Table

from xtools import ROOT, backbones, encoder, targets, tasks
from xtools.study import Study

TABLE = ROOT / "results" / "calibration.csv"
FACTORS = (0.5, 1, 2)  # of the study's own number of examples


def point(study: Study, backbone: str, target: str, examples: int) -> dict:
    """One fine-tuning without intermediate task, first seed: development and source test score, mean zero-shot score."""
    torch.set_num_threads(1)
    study = study.of(backbone)
    phase = study.target
    override = {target: phase.tasks.get(target, {}) | {"examples": examples}}
    swept = study.model_copy(update={"target": phase.model_copy(update={"tasks": phase.tasks | override})})
    started = backbones.published(study, backbone, study.seeds[0])
    started.precision = encoder.choose_precision(study.precision, started.device, started.config.hidden_size)
    model = targets.prepare(started, swept, target, study.seeds[0])
    scores, metric = targets.score(model, swept, backbone)[0], model.task.metric
    others = [s[metric] for language, s in scores.items() if language != study.source_language]
    return {
        "backbone": backbone,
        "target": target,
        "examples": examples,
        "dev": round(targets.development_score(model, swept)[metric], 1),
        "source": round(scores[study.source_language][metric], 1),
        "zero_shot": round(sum(others) / len(others), 1),
        "chance": round(model.task.chance, 1),
    }


def run(study: Study, jobs: int) -> None:
    """Sweep every trained target of the study on every backbone; print the table and write it to results/calibration.csv."""
    trained = [t for t in study.targets if not tasks.get(t).is_searched and not study.serves(t)]
    points = [
        (backbone, target, round(factor * study.of(backbone).target.for_task(target).examples))
        for backbone in study.backbones
        for target in trained
        for factor in FACTORS
    ]
    with ProcessPoolExecutor(jobs) as pool:
        rows = list(pool.map(point, *zip(*((study, *p) for p in points), strict=True)))
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    TABLE.parent.mkdir(exist_ok=True)
    with open(TABLE, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)

"""Results that stay with the project: results/<study>/ holds what a study measured, for those who have neither its data nor its hours.

`records.jsonl.gz` holds its records, one a line, `scores.csv` every score of them in a table to look things up in, `items.json` the scores of
blocks of test items, `report.html` the report, and two pictures of it. No prediction is there, since those of span tasks are text of the data sets.
"""

import gzip
import json
import os
import re
from pathlib import Path

from xtools import ROOT, records
from xtools.disk import size, whole
from xtools.problems import Problem
from xtools.report import items, plots
from xtools.run.plan import read
from xtools.study import Cell, Study

RECORDS, SCORES, ITEMS, REPORT = records.KEPT, "scores.csv", "items.json", "report.html"
PICTURES = {"gains.png": plots.gain_map, "languages.png": plots.language_map}


def place(profile: str) -> Path:
    """Where a study's kept results lie, if it has any."""
    return ROOT / "results" / profile


def has(profile: str) -> bool:
    """Whether results of a study came with the project."""
    return (place(profile) / RECORDS).exists()


def keep(study: Study) -> str:
    """Write what a finished study measured to results/<study>/; returns what lies there, in a sentence.

    Raises Problem for one that has cells to run, or no report.
    """
    missing, page = read(study.folder).missing(), study.folder / REPORT
    if missing or not page.exists():
        raise Problem(f"{study.name}: {len(missing)} cells or its report are missing; run make study PROFILE={study.name} first")
    cells, folder = study.cells(), place(study.name)
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(json.loads(cell.record.read_text()) | named(cell), sort_keys=True) for cell in cells]
    with whole(folder / RECORDS) as partial:
        partial.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0))
    with whole(folder / SCORES) as partial:
        records.table(study, every=True).round(4).to_csv(partial, index=False)
    records.write_json(folder / ITEMS, {name: rounded(blocks) for name, blocks in items.load(study).scores.items()})
    with whole(folder / REPORT) as partial:
        partial.write_text(alone(page.read_text()))
    table = records.table(study)
    for name, draw in PICTURES.items():
        figure = draw(study, table)
        with whole(folder / name) as partial:
            figure.savefig(partial, format="png", dpi=100)
    held = ", ".join(f"{path.name} {size(path.stat().st_size)}" for path in sorted(folder.iterdir()))
    return f"{len(cells)} records kept in results/{study.name}: {held}"


def named(cell: Cell) -> dict:
    """A cell's own name within its study: cells that compute the same share one record, which bears the name of the first."""
    return {key: getattr(cell, key) for key in ("phase", "backbone", "recipe", "target", "seed")}


def rounded(blocks: dict[str, list[float]]) -> dict[str, list[float]]:
    """Scores of blocks, to a hundredth of a point."""
    return {language: [round(score, 2) for score in scores] for language, scores in blocks.items()}


def alone(page: str) -> str:
    """A report without links to what lies beside it in its study's folder."""
    return re.sub(r'<li><a href="index\.html">[^<]*</a></li>| <a class="csv" href="[^"]*">CSV</a>', "", page)


def restore(study: Study) -> int:
    """Let a study of which no cell was run here have its kept records, in a folder of their own, where no run takes them for its own;
    returns how many.

    Raises Problem where there are none, or they are of another form.
    """
    cells = {cell.name: cell for cell in study.cells()}
    if any(cell.record.exists() for cell in cells.values()):
        return 0
    kept = records.read_all(place(study.name))
    found = {records.cell_of(record).name: record for record in kept}
    for name in found.keys() & cells.keys():
        cell, folder = cells[name], ROOT / "runs" / "kept" / study.name / found[name].fingerprint
        folder.mkdir(parents=True, exist_ok=True)
        records.write_json(folder / "record.json", found[name].model_dump(mode="json"))
        cell.folder.parent.mkdir(parents=True, exist_ok=True)
        with whole(cell.folder) as partial:
            partial.symlink_to(os.path.relpath(folder, cell.folder.parent))
    scores = json.loads((place(study.name) / ITEMS).read_text())
    records.write_json(study.folder / ITEMS, {found[name].fingerprint: blocks for name, blocks in scores.items() if name in found})
    return len(found.keys() & cells.keys())

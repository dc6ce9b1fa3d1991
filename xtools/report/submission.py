"""Predictions in XTREME's own files (<task>/test-<language>.<tsv|json|jsonl>): write them from a study's cells, score any such folder.

`score` gives what the benchmark's released scorer gives for its nine tasks, xcopa and mewslix, and adds lareqa and XTREME-R's total.
"""

from functools import partial
from pathlib import Path

from xtools import records, sources, tasks
from xtools.benchmark import BENCHMARKS, averages, task_score
from xtools.problems import Problem
from xtools.report import mteb
from xtools.study import Cell, Study
from xtools.tasks import Task, format_of


def file_name(task: Task, language: str) -> str:
    """Where a task's predictions in a language stand below a submission's folder."""
    return f"{_folder(task)}/test-{language}.{format_of(task).extension(task)}"


def _folder(task: Task) -> str:
    return task.folder or task.name


# ---------------------------------------------------------------- writing


def write(study: Study) -> list[Path]:
    """One submission folder per benchmark, backbone, recipe and seed, runs/<study>/submission/<benchmark>/<backbone>-<recipe>-s<seed>, with
    the benchmark's tasks that the study has scored; returns the files. Each benchmark has its own Tatoeba in a folder of that name. Beside
    them, in submission/mteb, are the tasks that MTEB has too (xtools/report/mteb.py).

    Raises Problem when the study has no such target cell yet.
    """
    written = []
    for cell in study.cells():
        if cell.phase == "target" and cell.record.exists():
            files = {file_name(tasks.get(cell.target), k): content(study, cell, k, v) for k, v in records.read_predictions(cell).items()}
            for benchmark in (name for name, own in BENCHMARKS.items() if cell.target in own):
                folder = study.folder / "submission" / benchmark / f"{cell.backbone}-{cell.recipe}-s{cell.seed}"
                written += [_written(folder / name, text) for name, text in files.items()]
            written += [
                _written(study.folder / "submission" / "mteb" / name, text) for name, text in mteb.files(cell, records.read(cell)).items()
            ]
    if not written:
        raise Problem(f"{study.name}: no target of a benchmark has been scored yet; run make study PROFILE={study.name} first")
    return written


def _written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def content(study: Study, cell: Cell, language: str, predictions: list) -> str:
    """A prediction file's text from [id, prediction] pairs."""
    task = tasks.get(cell.target)
    rows = partial(sources.rows, study.data, task, "test", language, study.evaluation.of(task.name).test)
    return format_of(task).file_text(predictions, task, language, rows)


# ---------------------------------------------------------------- scoring


def score(predictions: Path, labels: Path, benchmark: str) -> dict:
    """Scores of a folder of predictions against a folder of gold labels in the same layout, over a benchmark's tasks in both.

    {tasks: {task: {languages: {language: metrics}, score}}, averages: {group or total: mean, None where a task is missing}}, in percent.
    Raises Problem for a missing or unreadable file, or predictions and labels of different lengths.
    """
    for folder in (predictions, labels):
        if not folder.is_dir():
            raise Problem(f"{folder}: no such folder; it must hold <task>/test-<language>.<tsv|json|jsonl>")
    scored: dict[str, dict] = {}
    for name, languages in BENCHMARKS[benchmark].items():
        task = tasks.get(name)
        if all((folder / _folder(task)).is_dir() for folder in (predictions, labels)):
            metrics = {lang: _score_file(task, lang, *(f / file_name(task, lang) for f in (predictions, labels))) for lang in languages}
            scored[name] = {"languages": metrics, "score": task_score({k: v[task.metric] for k, v in metrics.items()}, languages)}
    return {"tasks": scored, "averages": averages({name: entry["score"] for name, entry in scored.items()}, benchmark)}


def _score_file(task: Task, language: str, predicted: Path, gold: Path) -> dict[str, float]:
    for path in (predicted, gold):
        if not path.exists():
            raise Problem(f"{path}: not there; a benchmark's task is scored in all its languages")
    try:
        return format_of(task).score_files(predicted, gold, task, language)
    except (ValueError, KeyError, TypeError) as error:
        raise Problem(f"{predicted}: does not fit {gold}: {' '.join(str(error).split())}") from error


def table(scored: dict) -> str:
    """Scores as text, one line a task and one an average."""
    lines = [f"{name:<24}{entry['score']:8.2f}   {len(entry['languages'])} languages" for name, entry in scored["tasks"].items()]
    for group, value in scored["averages"].items():
        lines.append(f"{group:<24}{'      –   a task is missing' if value is None else f'{value:8.2f}'}")
    return "\n".join(lines)

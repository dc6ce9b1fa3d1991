"""Predictions in XTREME's own files (<task>/test-<language>.<tsv|json|jsonl>): write them from a study's cells, score any such folder.

`score` gives what the benchmark's released scorer gives for its nine tasks, xcopa and mewslix, and adds lareqa and XTREME-R's total.
"""

import json
from pathlib import Path

from xtools import sources, tasks
from xtools.benchmark import BENCHMARKS, averages, task_score
from xtools.problems import Problem
from xtools.study import Cell, Study
from xtools.tasks import Task, retrieval, span, tagging

EXTENSIONS = {"span": "json", "choice": "jsonl", "retrieval": "tsv", "classification": "tsv", "tagging": "tsv"}


def file_name(task: Task, language: str) -> str:
    """Where a task's predictions in a language stand below a submission's folder; XTREME-R's own retrieval tasks are JSON."""
    return f"{task.name}/test-{language}.{'json' if task.pooled else EXTENSIONS[task.format]}"


# ---------------------------------------------------------------- writing


def write(study: Study) -> list[Path]:
    """One submission folder per backbone, recipe and seed, runs/<study>/submission/<backbone>-<recipe>-s<seed>; returns the files.

    Raises Problem when the study has no target cell yet.
    """
    written = []
    for cell in study.cells():
        if cell.phase == "target" and cell.record.exists():
            folder = study.folder / "submission" / f"{cell.backbone}-{cell.recipe}-s{cell.seed}"
            for language, predictions in json.loads((cell.folder / "predictions.json").read_text()).items():
                path = folder / file_name(tasks.get(cell.target), language)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content(study, cell, language, predictions))
                written.append(path)
    if not written:
        raise Problem(f"{study.name}: no target has been scored yet; run make study PROFILE={study.name} first")
    return written


def content(study: Study, cell: Cell, language: str, predictions: list) -> str:
    """A prediction file's text from [id, prediction] pairs."""
    task = tasks.get(cell.target)
    if task.format == "span" or task.pooled:
        return json.dumps(dict(predictions), ensure_ascii=False, indent=1) + "\n"
    if task.format == "choice":
        return "".join(json.dumps({"label": label}) + "\n" for _, label in predictions)
    if task.format == "tagging":
        pieces = [piece for _, row in predictions for piece in row]
        return "\n".join("".join(f"{task.labels[tag]}\n" for tag in piece) for piece in pieces)
    if task.name == "bucc2018":
        pairs = [(_number(query, language), _number(found[0], "en")) for query, found in predictions if found]
        return "".join(f"{a}\t{b}\n" for a, b in pairs)
    if task.name == "tatoeba":
        return "".join(f"{found[0]}\n" for _, found in _by_english(study, task, language, predictions))
    names = task.labels if task.name != "pawsx" else ("0", "1")
    return "".join(f"{names[label]}\n" for _, label in predictions)


def _number(identity: str, language: str) -> str:
    """BUCC's own id of a sentence, from its number."""
    return f"{language}-{int(identity.rpartition('-')[2]):09d}"


def _by_english(study: Study, task: Task, language: str, predictions: list) -> list:
    """Tatoeba's predictions in the order of the sorted English sentences, as XTREME hands them out so that order tells nothing."""
    text = {row["id"]: row["text"] for row in sources.rows(study.data, task, "test", language, study.evaluation.test)}
    return sorted(predictions, key=lambda pair: text[pair[0]])


# ---------------------------------------------------------------- scoring


def score(predictions: Path, labels: Path, benchmark: str) -> dict:
    """Scores of a folder of predictions against a folder of gold labels in the same layout, over a benchmark's tasks in both.

    {tasks: {task: {languages: {language: metrics}, score}}, averages: {group or total: mean, None where a task is missing}}, in percent.
    Raises Problem for a missing or unreadable file, or predictions and labels of different lengths.
    """
    for folder in (predictions, labels):
        if not folder.is_dir():
            raise Problem(f"{folder}: no such folder; it must hold <task>/test-<language>.<tsv|json|jsonl>")
    found = {}
    for name, languages in BENCHMARKS[benchmark].items():
        if (predictions / name).is_dir() and (labels / name).is_dir():
            task = tasks.get(name)
            metrics = {lang: _score_file(task, lang, *(f / file_name(task, lang) for f in (predictions, labels))) for lang in languages}
            found[name] = {"languages": metrics, "score": task_score({k: v[task.metric] for k, v in metrics.items()}, languages)}
    return {"tasks": found, "averages": averages({name: entry["score"] for name, entry in found.items()}, benchmark)}


def _score_file(task: Task, language: str, predicted: Path, gold: Path) -> dict[str, float]:
    for path in (predicted, gold):
        if not path.exists():
            raise Problem(f"{path}: not there; a benchmark's task is scored in all its languages")
    try:
        return SCORERS[task.format](task, language, predicted, gold)
    except (ValueError, KeyError, TypeError) as error:
        raise Problem(f"{predicted}: does not fit {gold}: {' '.join(str(error).split())}") from error


def _lines(path: Path) -> list[str]:
    with open(path) as file:  # not splitlines, which also splits at separators inside a line
        return [line.strip() for line in file]


def _accuracy(predicted: list, gold: list) -> dict[str, float]:
    if len(predicted) != len(gold):
        raise ValueError(f"{len(predicted)} predictions for {len(gold)} examples")
    return {"accuracy": 100 * sum(p == g for p, g in zip(predicted, gold, strict=True)) / len(gold)}


def _classes(task: Task, language: str, predicted: Path, gold: Path) -> dict[str, float]:
    return _accuracy(_lines(predicted), _lines(gold))


def _choices(task: Task, language: str, predicted: Path, gold: Path) -> dict[str, float]:
    return _accuracy(*([json.loads(line)["label"] for line in path.read_text().splitlines()] for path in (predicted, gold)))


def _sequences(path: Path) -> list[list[str]]:
    """Tags, one a line, sequences parted by empty lines."""
    found = [[]]
    for line in _lines(path):
        if line:
            found[-1].append(line)
        else:
            found.append([])
    return found if found[-1] else found[:-1]


def _tags(task: Task, language: str, predicted: Path, gold: Path) -> dict[str, float]:
    p, g = _sequences(predicted), _sequences(gold)
    if [*map(len, p)] != [*map(len, g)]:
        raise ValueError(f"{len(p)} sequences of {sum(map(len, p))} tags for {len(g)} of {sum(map(len, g))}")
    return {"f1": tagging.chunk_f1(g, p), "accuracy": tagging.accuracy(g, p)}


def _answers(task: Task, language: str, predicted: Path, gold: Path) -> dict[str, float]:
    """A question without prediction scores 0."""
    answers, articles = json.loads(predicted.read_text()), json.loads(gold.read_text())
    articles = articles["data"] if isinstance(articles, dict) else articles
    questions = [qa for article in articles for paragraph in article["paragraphs"] for qa in paragraph["qas"]]
    rows = [{"answers": {"text": [answer["text"] for answer in qa["answers"]]}} for qa in questions if qa["id"] in answers]
    scores = span.score([answers[qa["id"]] for qa in questions if qa["id"] in answers], rows, task, language) if rows else {}
    return {metric: scores.get(metric, 0.0) * len(rows) / len(questions) for metric in ("f1", "exact", "f1_exact")}


def _retrieved(task: Task, language: str, predicted: Path, gold: Path) -> dict[str, float]:
    if task.metric == "f1":
        return {
            "f1": 100 * retrieval.pair_f1(*(set(map(tuple, (line.split("\t") for line in _lines(path)))) for path in (predicted, gold)))
        }
    if not task.pooled:
        return _accuracy(_lines(predicted), _lines(gold))
    found, right = json.loads(predicted.read_text()), json.loads(gold.read_text())
    rows = [{"gold": [answer.strip() for answer in answers]} for answers in right.values()]
    return retrieval.score([found.get(question, []) for question in right], rows, task, language)


SCORERS = {"classification": _classes, "choice": _choices, "tagging": _tags, "span": _answers, "retrieval": _retrieved}


def table(scored: dict) -> str:
    """Scores as text, one line a task and one an average."""
    lines = [f"{name:<24}{entry['score']:8.2f}   {len(entry['languages'])} languages" for name, entry in scored["tasks"].items()]
    for group, value in scored["averages"].items():
        lines.append(f"{group:<24}{'      –   a task is missing' if value is None else f'{value:8.2f}'}")
    return "\n".join(lines)

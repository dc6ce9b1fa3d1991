"""The results of Tatoeba and BUCC in the form of MTEB (Muennighoff et al. 2023), where people compare encoders on them: a JSON file a task, as
`mteb` 1.11 and later write and read it.

The scores are MTEB's: the foreign sentence is the query, its nearest in the source language is judged as a label (`retrieval.matched`). They are
neither XTREME's accuracy, which asks in English, nor its F1 of mined pairs. Of capped or incomplete data there is no file.
"""

import json

from xtools import tasks, versions
from xtools.records import Record
from xtools.study import Cell
from xtools.tasks.retrieval import MTEB, TATOEBA_EXTRA, TATOEBA_NAMES

NAMES = {"tatoeba": "Tatoeba", "bucc2018": "BUCC"}
SUBSETS = {"tatoeba": "{code}-eng", "bucc2018": "{language}-en"}  # what it calls a language of them
METRICS = ("precision", "recall", "f1", "accuracy")
REVISION = "no_revision_available"  # what mteb calls an encoder's version that nobody named
# ISO 639-3 and, where it is not Latin, the script, of the languages as MTEB has them.
CODES = TATOEBA_NAMES | {language: subset.split("-")[0] for language, subset in TATOEBA_EXTRA.items()}
SCRIPTS = dict(
    ar="Arab", bg="Cyrl", bn="Beng", el="Grek", fa="Arab", he="Hebr", hi="Deva", ja="Jpan", ka="Geor", kk="Cyrl", ko="Hang", ml="Mlym",
    mr="Deva", ru="Cyrl", ta="Taml", te="Telu", th="Thai", uk="Cyrl", ur="Arab", zh="Hans",
)  # fmt: skip


def files(cell: Cell, record: Record) -> dict[str, str]:
    """A cell's results as file names below a folder of MTEB's results, <encoder>/<revision>/<task>.json, and their text; none for a task or
    languages that MTEB does not have, and for data of which a part is lacking."""
    if cell.target not in NAMES or any(part.split in tasks.get(cell.target).test_splits for part in record.result.subset):
        return {}
    scores = [_subset(cell.target, language, score.metrics) for language, score in record.result.scores.items() if language in CODES]
    scores = [entry for entry in scores if entry]
    if not scores:
        return {}
    result = {
        "dataset_revision": _revision(record, tasks.get(cell.target).splits["test"][0].repo),
        "task_name": NAMES[cell.target],
        "mteb_version": None,  # it is not mteb that measured
        "scores": {"test": scores},
        "evaluation_time": record.times["seconds"],
        "kg_co2_emissions": None,
    }
    name = f"xtools__{cell.backbone}-{cell.recipe}-s{cell.seed}"
    return {f"{name}/{REVISION}/{NAMES[cell.target]}.json": json.dumps(result, indent=2, allow_nan=False) + "\n"}


def _subset(target: str, language: str, metrics: dict[str, float]) -> dict:
    """MTEB's entry of a language, its scores in [0, 1]; empty where not all of its rows were searched."""
    if f"{MTEB}f1" not in metrics:
        return {}
    own = {name: round(metrics[f"{MTEB}{'accuracy' if name == 'recall' else name}"] / 100, 6) for name in METRICS}
    code = CODES[language]
    return own | {
        "main_score": own["f1"],
        "hf_subset": SUBSETS[target].format(language=language, code=code),
        "languages": [f"{code}-{SCRIPTS.get(language, 'Latn')}", "eng-Latn"],
    }


def _revision(record: Record, repo: str) -> str:
    """The commit of a data set that a cell read; a hash of all its parts where it read a folder's files."""
    states = sorted({state for place, state in record.read.items() if place.partition(" ")[0].partition("@")[0] == repo})
    return states[0] if len(states) == 1 else versions.digest(*states)

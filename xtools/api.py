"""What `import xtools` gives to code of your own: a door beside the command line, thin functions over what the study itself uses.

What is heavy to import is imported by the function that needs it. A mistake raises `Problem`, whose text is one line that says what to do.

>>> import xtools
>>> study = xtools.load_study("laptop_folder")
>>> study.recipes
['none', 'mnli', 'squad_v1']
>>> scores = xtools.table(study)  # of what is kept in results/laptop_folder: nothing has to be run
>>> scores[["backbone", "recipe", "target", "seed"]].drop_duplicates().shape
(108, 4)
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xtools import ROOT
from xtools.problems import Problem

if TYPE_CHECKING:
    import pandas as pd

    from xtools.records import Record
    from xtools.report.claims import Claim
    from xtools.results import Timing
    from xtools.study import Study

__all__ = ["Problem", "compare", "ledger", "load_study", "run_cell", "score_folder", "table", "time_encoder"]


def load_study(name: str) -> "Study":
    """The study of params/<name>.yaml, checked; what it reads need not be there.

    Raises Problem, naming file and key, for anything wrong with it.

    >>> load_study("pocket").targets
    ['xnli', 'xquad', 'tydiqa', 'udpos', 'tatoeba']
    >>> load_study("poket")
    Traceback (most recent call last):
    xtools.problems.Problem: params/poket.yaml: no such study; did you mean pocket?
    """
    from xtools import study

    return study.load(name, needs_data=False)


def _loaded(study: "Study | str") -> "Study":
    return load_study(study) if isinstance(study, str) else study


def table(study: "Study | str", every: bool = False) -> "pd.DataFrame":
    """A study's scores in percent, a row a backbone, recipe, target, seed, metric, split and language, with the number of test rows, `n`.

    From its records in runs/ or, where nothing of it was run here, from those that are kept in results/. `every` gives all metrics of a
    record, not the main one alone; rows of split `dev` hold the source language's development score. Raises Problem where there are none.

    >>> table("laptop_folder").query("target == 'xnli' and split == 'test'").language.nunique()
    5
    """
    import pandas as pd

    from xtools import records

    loaded = _loaded(study)
    found = records.table(loaded, every)
    if len(found):
        return found
    rows = []
    for record in records.read_all(ROOT / "results" / loaded.name):
        if record.phase == "target":
            rows += records.rows_of(record, loaded.source_language, records.cell_of(record), every)
    return pd.DataFrame(rows, columns=records.COLUMNS)


def run_cell(study: "Study | str", backbone: str, recipe: str = "none", target: str = "", seed: int = 0) -> "Record":
    """The record of one cell of a study: scores per language of a target, development scores of an intermediate task where no target is named,
    or the encoder's card where the recipe is `none` too.

    It is run, and before it the cells that it starts from, where there is no current record; each in a process of its own, as `make study`
    would, and the study finds it done. Raises Problem for a cell that the study does not have, or that fails.
    """
    from xtools.run import single
    from xtools.study import Cell

    phase = "target" if target else "backbone" if recipe == "none" else "intermediate"
    cell = Cell(_loaded(study).name, phase, backbone, "" if phase == "backbone" else recipe, target, seed)
    return single.run(cell)


def time_encoder(
    place: str, texts: Mapping[str, Sequence[str]], seconds: float = 1.0, max_length: int = 128, threads: int = 1, device: str = "auto"
) -> "Timing":
    """What inference with an encoder costs on texts by language: latency (ms), throughput (examples/s), FLOPs, memory (MiB), and tokens and
    latency by language.

    `place` is a folder or a Hub id that was fetched. Each scenario is repeated for `seconds`; texts are cut at `max_length` tokens; `threads`
    are those of a CPU. Weights run in fp32, one text after another for latency and batches of all for throughput (xtools/timing.py).
    Raises Problem for an encoder that cannot be loaded, and where there is no text.

    >>> cost = time_encoder("backbones/small-s0", {"qaa": ["ba da ko", "ti"], "qab": ["da"]}, seconds=0)
    >>> cost.examples, cost.measured.latency_ms.median > 0
    (3, True)
    """
    if not texts or not all(texts.values()):
        raise Problem("texts: none to time; give at least one text of each language")
    import torch

    from xtools import encoder, results, settings, timing

    model = encoder.load(place)
    model.model.to(encoder.choose_device(device))
    model = timing.comparable(model)
    torch.set_num_threads(threads)
    features = {language: timing.features_of(model, list(own), max_length) for language, own in texts.items()}
    asked = settings.Timing(seconds=float(seconds), threads=threads)
    how = {"precision": model.precision, "attention": model.attention, "weights": asked.weights, "tokenizer": "its own"}
    return results.Timing.model_validate(timing.exact(model, features) | how | {"measured": timing.measure(model, features, asked)})


def score_folder(predictions: Path | str, labels: Path | str, benchmark: str = "xtreme") -> dict:
    """Scores (percent) of a folder of predictions against a folder of labels, both in XTREME's layout, <task>/test-<language>.<ending>.

    {tasks: {task: {languages: {language: metrics}, score}}, averages: {group or total: mean, None where a task is missing}}. `benchmark` is
    xtreme or xtreme_r. Raises Problem for a missing or unreadable file, and predictions and labels of different lengths.

    >>> score_folder("nowhere", "nowhere")
    Traceback (most recent call last):
    xtools.problems.Problem: nowhere: no such folder; it must hold <task>/test-<language>.<tsv|json|jsonl>
    """
    from xtools.benchmark import BENCHMARKS
    from xtools.problems import nearest
    from xtools.report import submission

    if benchmark not in BENCHMARKS:
        raise Problem(f"benchmark {benchmark}: unknown{nearest(benchmark, BENCHMARKS)}")
    return submission.score(Path(predictions), Path(labels), benchmark)


def compare(a: str, b: str) -> "pd.DataFrame":
    """By how much the scores (points) of `b` differ from those of `a`, each a study or a folder of records: a row a backbone and recipe, a
    column a target, with 95% intervals over seeds.

    Raises Problem, with the first difference, where they cannot be compared: other data, metric, languages or numbers of rows.

    >>> compare("laptop_folder", "laptop_folder").columns.tolist()[:4]
    ['backbone', 'recipe', 'xnli', 'tydiqa']
    """
    from xtools.report import compare

    return compare.differences(compare.Side.of(a), compare.Side.of(b))


def ledger(study: "Study | str", claims: "list[Claim] | None" = None) -> "pd.DataFrame":
    """Claims (None: all of params/ledgers/claims.yaml) held against a study's scores: a row a claim and backbone, with the figure (points),
    its interval, and the verdict.

    What scores do not tell, as what a recipe costs in inference, is read from records in runs/; without them it is undecided. Raises Problem
    as `table` does.

    >>> ledger("laptop_folder").query("id == 'tatoeba-gains'").verdict.tolist()
    ['contradicted', 'contradicted']
    """
    from xtools.report import claims as tests

    loaded = _loaded(study)
    return tests.ledger(table(loaded), loaded, claims)

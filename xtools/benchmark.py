"""The two benchmarks, XTREME (Hu et al. 2020) and XTREME-R (Ruder et al. 2021): their tasks, languages and groups, and their averages.

A task's score is the unweighted mean over its languages; a group's the mean over its tasks; the benchmark's the mean over all tasks. A
question-answering task's score is the mean of its exact match and F1, each averaged over languages. (Their released evaluate.py counts
xcopa in two groups and leaves lareqa out, so it cannot give XTREME-R's total; here each task is in one group, and all ten count.)

Tatoeba is another task in each: XTREME searches with the vectors of the raw encoder, XTREME-R with those of one that was tuned on SQuAD.
"""

XNLI = "ar bg de el en es fr hi ru sw th tr ur vi zh"
PANX = "ar he vi id jv ms tl eu ml ta te af nl en de el bn hi mr ur fa fr it pt es bg ru ja ka ko th sw yo my zh kk tr et fi hu"
UDPOS = "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th tl tr ur vi yo zh"
TATOEBA = "ar he vi id jv tl eu ml ta te af nl de el bn hi mr ur fa fr it pt es bg ru ja ka ko th sw zh kk tr et fi hu"
XQUAD, MLQA, TYDIQA = "en es de el ru tr ar vi th zh hi", "en es de ar hi vi zh", "en ar bn fi id ko ru sw te"

XTREME = {
    "xnli": XNLI.split(),
    "pawsx": "de en es fr ja ko zh".split(),
    "udpos": UDPOS.split(),
    "panx": PANX.split(),
    "xquad": XQUAD.split(),
    "mlqa": MLQA.split(),
    "tydiqa": TYDIQA.split(),
    "bucc2018": "de fr ru zh".split(),
    "tatoeba": TATOEBA.split(),
}
XTREME_R = {
    "xnli": XNLI.split(),
    "xcopa": "et ht id it qu sw ta th tr vi zh".split(),
    "udpos": UDPOS.split() + "lt pl uk wo ro".split(),
    "panx": PANX.split() + "qu pl uk az lt pa gu ro".split(),
    "xquad": [*XQUAD.split(), "ro"],
    "mlqa": MLQA.split(),
    "tydiqa": TYDIQA.split(),
    "tatoeba_squad": TATOEBA.split() + "az lt pl uk ro".split(),
    "mewslix": "ar de en es fa ja pl ro ta tr uk".split(),
    "lareqa": "ar de el en es hi ru th tr vi zh".split(),
}
BENCHMARKS = {"xtreme": XTREME, "xtreme_r": XTREME_R}
BOTH = {target: list(dict.fromkeys(XTREME.get(target, []) + XTREME_R.get(target, []))) for target in XTREME | XTREME_R}
LANGUAGES = BENCHMARKS | {"both": BOTH}  # what a study may name: a benchmark's languages of each target, or those of either
GROUPS = {
    "xtreme": {
        "sentence pairs": ["xnli", "pawsx"],
        "structured prediction": ["udpos", "panx"],
        "question answering": ["xquad", "mlqa", "tydiqa"],
        "retrieval": ["bucc2018", "tatoeba"],
    },
    "xtreme_r": {
        "classification": ["xnli", "xcopa"],
        "structured prediction": ["udpos", "panx"],
        "question answering": ["xquad", "mlqa", "tydiqa"],
        "retrieval": ["tatoeba_squad", "mewslix", "lareqa"],
    },
}


def languages_in(name: str, study) -> dict[str, list[str]]:
    """Per target of a study that a benchmark has: the benchmark's own languages where the study has them all, else the study's."""
    own = BENCHMARKS[name]
    scored = {target: study.languages_of(target) for target in study.targets if target in own}
    return {target: own[target] if set(own[target]) <= set(there) else there for target, there in scored.items()}


def group(name: str) -> list[str]:
    """The targets that any of the benchmarks has in its group of that name.

    Raises KeyError where none has such a group.
    """
    members = [target for groups in GROUPS.values() for target in groups.get(name, [])]
    if not members:
        raise KeyError(name)
    return list(dict.fromkeys(members))


def task_score(by_language: dict[str, float], languages: list[str]) -> float | None:
    """The mean over a benchmark's languages of a task; None where one of them is missing."""
    if any(language not in by_language for language in languages):
        return None
    return sum(by_language[language] for language in languages) / len(languages)


def averages(task_scores: dict[str, float], benchmark: str) -> dict[str, float | None]:
    """A benchmark's group scores and its total, None where a task is missing; a mean over fewer tasks is never given in its place."""
    groups = {**GROUPS[benchmark], "total": list(BENCHMARKS[benchmark])}
    return {
        group: None if any(task not in task_scores for task in members) else sum(task_scores[task] for task in members) / len(members)
        for group, members in groups.items()
    }

import pytest

from xtools import benchmark, tasks


@pytest.mark.parametrize(("name", "n_tasks", "n_languages"), [("xtreme", 9, 40), ("xtreme_r", 10, 50)])
def test_tasks_and_languages_are_the_papers(name, n_tasks, n_languages):
    found = benchmark.BENCHMARKS[name]
    assert len(found) == n_tasks
    languages = {language for codes in found.values() for language in codes}
    # XTREME's BUCC, Tatoeba and PAWS-X languages are among its 40; XTREME-R's 50 leave English out of none.
    assert len(languages) == n_languages
    assert all(len(codes) == len(set(codes)) for codes in found.values())
    assert sorted(task for members in benchmark.GROUPS[name].values() for task in members) == sorted(found), "each task in one group"


@pytest.mark.parametrize("name", ["xtreme", "xtreme_r"])
def test_every_language_of_a_benchmark_can_be_loaded(name):
    for task, languages in benchmark.BENCHMARKS[name].items():
        assert set(languages) <= set(tasks.get(task).languages)
        assert all(tasks.get(task).parts("test", language) for language in languages)


def test_published_language_counts_of_xtreme_r():
    counts = {task: len(languages) for task, languages in benchmark.XTREME_R.items()}
    assert counts == dict(xnli=15, xcopa=11, udpos=38, panx=48, xquad=12, mlqa=7, tydiqa=9, tatoeba_squad=41, mewslix=11, lareqa=11)


def test_each_benchmark_has_its_own_tatoeba():
    assert len(benchmark.XTREME["tatoeba"]) == 36 and "tatoeba" not in benchmark.XTREME_R and "tatoeba_squad" not in benchmark.XTREME
    assert set(benchmark.XTREME_R["tatoeba_squad"]) - set(benchmark.XTREME["tatoeba"]) == set("az lt pl uk ro".split())
    raw, tuned = (tasks.get(name) for name in ("tatoeba", "tatoeba_squad"))
    assert raw.hub == tuned.hub and (raw.first, tuned.first) == ("", "squad_v1"), "the same sentences, by another encoder"


def test_the_average_reproduces_a_published_total():
    # XLM-R large on XTREME as RemBERT's table 16 and the leaderboard give it (retrieval as recalled): 68.2 over nine tasks.
    scores = dict(xnli=79.2, pawsx=86.4, udpos=73.8, panx=65.4, bucc2018=66.0, tatoeba=57.3)
    scores |= {task: (f1 + exact) / 2 for task, f1, exact in (("xquad", 76.6, 60.8), ("mlqa", 71.6, 53.2), ("tydiqa", 65.1, 45.0))}
    found = benchmark.averages(scores, "xtreme")
    assert found["total"] == pytest.approx(68.2, abs=0.06)
    assert found["sentence pairs"] == pytest.approx(82.8) and found["question answering"] == pytest.approx(62.05)


def test_a_missing_task_or_language_gives_no_average():
    assert benchmark.averages({"xnli": 1.0}, "xtreme_r")["total"] is None
    assert benchmark.averages({"xnli": 1.0, "xcopa": 2.0}, "xtreme_r")["classification"] == 1.5
    assert benchmark.task_score({"de": 1.0}, ["de", "fr"]) is None

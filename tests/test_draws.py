"""Which rows a cell reads: those that its seed draws to train on, and none in development that is tested or trained on."""

import pytest
from test_sources import NLI, SHARES, folder, nli

from xtools import finetuning, sources, study, targets, tasks
from xtools.problems import Problem
from xtools.sources import Source, revisions


def titled(n: int, first: int = 0) -> list[dict]:
    """SQuAD's rows, which are ordered by article, ten questions on each."""
    answers = {"text": ["cat"], "answer_start": [0]}
    numbers = range(first, first + n)
    return [{"id": f"q{i}", "title": f"t{i // 10}", "context": f"cat {i // 10}", "question": f"{i}?", "answers": answers} for i in numbers]


def ids(rows: list[dict]) -> list[str]:
    return [row["id"] for row in rows]


def test_drawn_rows_are_of_many_articles_nested_and_in_the_files_order(parquet_root):
    root, task = folder(parquet_root("rajpurkar/squad", "plain_text", {"train": titled(400)})), tasks.get("squad_v1")
    whole = ids(sources.rows(root, task, "train", "en"))
    few, more = (ids(sources.rows(root, task, "train", "en", n, seed=0)) for n in (20, 80))
    assert len(few) == 20 and len(more) == 80 and {*few} < {*more}
    assert few == [i for i in whole if i in few] and more == [i for i in whole if i in more]
    assert len({int(i[1:]) // 10 for i in few}) > 10, "the first twenty are two articles"
    assert ids(sources.rows(root, task, "train", "en", 20, seed=1)) != few
    assert ids(sources.rows(root, task, "train", "en", 20, seed=0)) == few
    assert sources.rows(root, task, "train", "en", 1000, seed=3) == sources.rows(root, task, "train", "en", None, seed=3)
    assert ids(sources.rows(root, task, "train", "en", 20)) == whole[:20], "without a seed the first ones"


@pytest.mark.parametrize("seed", range(5))
def test_a_dropped_row_is_drawn_over_and_parts_are_drawn_alike(parquet_root, seed):
    parquet_root("stanfordnlp/snli", "plain_text", {"train": [nli(i % 4 - 1, f"s{i}") for i in range(40)]}, NLI)
    parquet_root("nyu-mll/glue", "mnli", {"train": [nli(1, f"m{i}") for i in range(20)]}, NLI)
    anli = {f"train_r{r}": [nli(2, f"a{r}{i}") | {"uid": "u", "reason": ""} for i in range(20)] for r in (1, 2, 3)}
    root = folder(parquet_root("facebook/anli", "plain_text", anli))
    whole = sources.rows(root, tasks.get("anli_plus"), "train", "en")
    drawn = sources.rows(root, tasks.get("anli_plus"), "train", "en", 60, seed)
    assert len(drawn) == 60 and all(row in whole for row in drawn) and len({*ids(drawn)}) == 60
    assert {row["text_a"][:1] for row in drawn} == {"s", "m", "a"}
    assert sources.rows(root, tasks.get("anli_plus"), "train", "en", 110, seed) == whole


def test_few_rows_of_many_are_not_all_read(parquet_root, monkeypatch):
    from xtools.sources import hub

    rows, read = titled(500), []

    class Counted(list):
        def __getitem__(self, i):
            read.append(i)
            return super().__getitem__(i)

        def __iter__(self):
            raise AssertionError("every row is read")

    monkeypatch.setattr(hub, "table", lambda *wanted: Counted(rows))
    assert len(sources.rows(folder("somewhere"), tasks.get("squad_v1"), "train", "en", 10, seed=0)) == 10 == len(read)


def test_a_row_that_does_not_fit_is_told_by_its_number_when_it_is_drawn_too(parquet_root):
    root = folder(parquet_root("nyu-mll/glue", "mnli", {"train": [{"premise": "a", "label": 1}] * 3}))
    for seed in (None, 0):
        with pytest.raises(Problem, match=r"row [012], column hypothesis: is missing \(columns: premise, label\)"):
            sources.rows(root, tasks.get("mnli"), "train", "en", 2, seed)


def test_seeds_are_told_apart_where_rows_are_drawn_and_only_there(parquet_root):
    root, task = folder(parquet_root("rajpurkar/squad", "plain_text", {"train": titled(30)})), tasks.get("squad_v1")
    assert sources.identity(root, task, "train", "en", 5, 0) != sources.identity(root, task, "train", "en", 5, 1)
    assert sources.identity(root, task, "train", "en", None, 0) == sources.identity(root, task, "train", "en", None, 1)
    world = Source("microworld")
    assert sources.identity(world, task, "train", "qaa", 5, 0) == sources.identity(world, task, "train", "qaa", 5, 1)
    assert sources.rows(world, task, "train", "qaa", 9, seed=1) == sources.rows(world, task, "train", "qaa", 9)


def test_both_phases_train_on_the_rows_that_their_seed_draws(parquet_root, tiny, monkeypatch):
    parquet_root("rajpurkar/squad", "plain_text", {"train": titled(60), "validation": titled(5, 60)})
    root = str(parquet_root("google/xquad", "xquad.en", {"validation": titled(3, 60)}))
    smoke, task = study.load("smoke"), tasks.get("squad_v1")
    short = {phase: getattr(smoke, phase).model_copy(update={"max_length": 64, "examples": 20}) for phase in ("intermediate", "target")}
    told = smoke.model_copy(update={"source": root, "source_language": "en", "subset": True} | short)
    trained = []
    monkeypatch.setattr(
        finetuning, "fine_tune", lambda encoder, data, *more: trained.append(data["xquad"][1]) or ({"xquad": None}, {"steps": 1})
    )
    for seed in (0, 1):
        drawn = sources.rows(told.data, task, "train", "en", 20, seed)
        expected = [f["ids"][0] for f in tasks.format_of(task).encode(drawn, tiny.tokenizer, task, 64)]
        targets.prepare(tiny, told, "xquad", seed)
        for features in (finetuning.recipe_data(tiny, told, "squad_v1@20", seed)["squad_v1"][1], trained[seed]):
            assert [f["ids"][0].tolist() for f in features] == expected
    assert [list(f["ids"][0]) for f in trained[0]] != [list(f["ids"][0]) for f in trained[1]]


# ---------------------------------------------------------------- development rows are no test rows


def test_questions_of_xquad_are_no_development_rows(parquet_root):
    parquet_root("rajpurkar/squad", "plain_text", {"train": titled(9), "validation": titled(20, 100)})
    root = folder(parquet_root("google/xquad", "xquad.en", {"validation": titled(5, 110)}))
    assert ids(sources.rows(root, tasks.get("xquad"), "dev", "en")) == [f"q{i}" for i in (*range(100, 110), *range(115, 120))]
    assert len(sources.rows(root, tasks.get("squad_v1"), "dev", "en")) == 20
    reads = [("xquad", "dev", "en")]
    before = revisions.of(root, reads)
    parquet_root("google/xquad", "xquad.en", {"validation": titled(6, 110)})
    assert revisions.of(root, reads) != before, "what is left out counts as data"


def test_a_subset_whose_development_rows_are_all_test_rows_has_none(parquet_root, tiny):
    parquet_root("rajpurkar/squad", "plain_text", {"validation": titled(5)})
    root = parquet_root("google/xquad", "xquad.en", {"validation": titled(5)})
    assert sources.rows(folder(root), tasks.get("xquad"), "dev", "en") == []
    told = study.load("smoke").model_copy(update={"source": str(root), "source_language": "en", "subset": True})
    task = tasks.get("xquad")
    model = targets.Model(tiny, task, told.target.for_task("xquad"), finetuning.new_head(tiny, task))
    assert targets.development_score(model, told) is None


def fields(row: dict) -> tuple:
    """All that an encoder is given of a row."""
    return tuple(str(row[key]) for key in ("text_a", "text_b", "context", "question", "choices", "words", "text") if key in row)


def own_ids(rows: list[dict]) -> set[str]:
    """The ids that the source itself gives; numbers are a place in a split."""
    return {row["id"] for row in rows if not row["id"].isdigit()}


DEVELOPED = [name for name, task in tasks.registry().items() if "dev" in task.hub]


@pytest.mark.parametrize("name", DEVELOPED)
def test_no_development_row_is_another_splits_in_the_microworld(name):
    task, world = tasks.get(name), Source("microworld")
    dev = sources.rows(world, task, "dev", "qaa", 300)
    for split in ({"test"} if task.is_target else set()) | ({"train"} if task.is_trained else set()):
        other = sources.rows(world, task, split, "qaa", 300)
        assert not own_ids(dev) & own_ids(other)
        assert not {fields(row) for row in dev} & {fields(row) for row in other}


TWICE = {  # most texts of a development set that a published test set has too: the sources' own, of other rows
    ("udpos", "en"): 27,  # greetings and the like, most of them of a few words
    ("panx", "qu"): 1,  # a name in Latin script
}


@pytest.mark.parametrize("name", [name for name in SHARES if name in DEVELOPED])
def test_no_development_row_of_the_mirror_is_a_test_row_or_a_training_row(name, mirror):
    source = folder(mirror, ccg=f"{mirror}/ccg")
    task = sources.complete(source, tasks.get(name))
    dev = sources.rows(source, task, "dev", "en")
    assert dev or name == "xquad", "the mirror's part of SQuAD's development set is XQuAD"
    texts, known = {fields(row) for row in dev}, own_ids(dev)
    for split, language in [("train", "en"), *(("test", lang) for lang in SHARES[name].split())]:
        other = sources.rows(source, task, split, language)
        assert not known & own_ids(other), (split, language)
        assert len(texts & {fields(row) for row in other}) <= (TWICE.get((name, language), 0) if split == "test" else 0), (split, language)

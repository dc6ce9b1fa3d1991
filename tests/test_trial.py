import pytest

from xtools import ROOT, sources
from xtools.problems import Problem
from xtools.run.trial import Trial
from xtools.sources import Source, layout
from xtools.tasks import Hub, Task


@pytest.fixture
def trial(tmp_path):
    return Trial(tmp_path / "project")


def test_what_is_written_in_a_trial_is_there_alone(trial):
    trial.write("params/new.yaml", "like: smoke\n")
    trial.insert("xtools/problems.py", after="import difflib", text="import os\n")
    assert (trial.folder / "xtools/problems.py").read_text().count("import difflib\nimport os\n") == 1
    assert not (ROOT / "params/new.yaml").exists() and "import os" not in (ROOT / "xtools/problems.py").read_text()
    trial.remove()
    assert not trial.folder.exists() and (ROOT / "results/laptop_folder/scores.csv").exists(), "what it links to stays"


@pytest.mark.parametrize("after", ["no such line", "import"])
def test_a_line_that_does_not_stand_there_once_is_told(trial, after):
    with pytest.raises(Problem, match=f"the line '{after}' stands there 0 times"):
        trial.insert("xtools/problems.py", after=after, text="x")


def test_what_fails_in_a_trial_is_told_by_its_last_line(trial):
    with pytest.raises(Problem, match=r"params/nowhere\.yaml: no such study"):
        trial.run("plan", "nowhere")
    with pytest.raises(Problem, match="ValueError: 7"):
        trial.python(trial.write("mine.py", "raise ValueError(7)\n").name)


FILES = {
    ".jsonl": ('{"t": "a", "n": 1}\n{"t": "b", "n": 0}\n', '{"t": "c", "n": 1}\n'),
    ".csv": ("t,n\na,1\nb,0\n", "t,n\nc,1\n"),
}


def lay_down(folder, **files: str) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize("ending", FILES)
def test_described_files_are_read_whatever_their_ending(tmp_path, ending):
    folder = tmp_path / "ours" / "topics"
    lay_down(folder, **dict(zip((f"en/train{ending}", f"de/test{ending}"), FILES[ending], strict=True)))
    assert layout.describe(folder) == ["de", "en"]
    entry = {
        split: Hub("ours/topics", "{lang}", split, lambda row: {"text_a": row["t"], "text_b": "", "label": row["n"]})
        for split in ("train", "test")
    }
    task = Task("topics", "classification", "accuracy", "", entry, labels=("x", "y"), languages=("en", "de"))
    assert [row["text_a"] for row in sources.rows(Source(str(tmp_path)), task, "train", "en")] == ["a", "b"]
    assert sources.rows(Source(str(tmp_path)), task, "test", "de") == [{"id": "0", "text_a": "c", "text_b": "", "label": 1}]


def test_a_folder_without_files_or_with_different_ones_is_told(tmp_path):
    with pytest.raises(Problem, match=r"no data there; put files <configuration>/<split>\.jsonl"):
        layout.describe(tmp_path)
    lay_down(tmp_path, **{"en/train.jsonl": "{}", "de/test.csv": "a"})
    with pytest.raises(Problem, match=r"files of \.csv and \.jsonl; write all files of a data set in one of them"):
        layout.describe(tmp_path)

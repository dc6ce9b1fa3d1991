"""Two sets of records side by side: what differs and by how much, and what cannot be compared."""

import json
import shutil

import pytest

from xtools.problems import Problem
from xtools.report import compare


@pytest.fixture
def sides(micro, tmp_path):
    """The small study's folder, a copy of it, and a function that changes a record of the copy."""
    ours, theirs = micro[0].folder / "runs" / "micro", tmp_path / "theirs"
    shutil.copytree(ours, theirs)  # follows the links to the cells

    def change(name: str, edit) -> None:
        path = theirs / "target" / name / "record.json"
        record = json.loads(path.read_text())
        edit(record)
        path.write_text(json.dumps(record) + "\n")

    return str(ours), str(theirs), change


def test_a_study_differs_in_nothing_from_itself(sides):
    ours, theirs, _ = sides
    a, b = compare.Side.of(ours), compare.Side.of(theirs)
    assert compare.told(a, b).startswith("6 cells are in both, 6 of them equal to the bit")
    shown = compare.differences(a, b).set_index("recipe")
    assert {*shown} == {"backbone", "xnli", "udpos", "tatoeba", "average"}
    assert (shown.drop(columns="backbone") == "+0.0").all(axis=None)


def test_a_difference_stands_where_it_is_and_in_the_average(sides):
    ours, theirs, change = sides
    change("target-tiny-mnli-udpos-s0", lambda record: record["result"].update(score=record["result"]["score"] + 6))
    shown = compare.differences(compare.Side.of(ours), compare.Side.of(theirs)).set_index("recipe")
    assert shown.loc["mnli", "udpos"] == "+6.0" and shown.loc["mnli", "average"] == "+2.0"
    assert shown.loc["none", "udpos"] == "+0.0"


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda record: record["result"].update(metric="accuracy"), "its metric is f1 in .* and accuracy in"),
        (lambda record: record["result"]["scores"].pop("qab"), "test rows of qab in .*, none in"),
        (lambda record: record["result"]["scores"]["qab"].update(n=1), "test rows of qab in .*, 1 in"),
        (lambda record: record["read"].update({"some/set": "other"}), "some/set is other data: this in .*, other in"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_first_difference(sides, edit, told):
    ours, theirs, change = sides
    change("target-tiny-none-udpos-s0", edit)
    a, b = compare.Side.of(ours), compare.Side.of(theirs)
    a.cells["tiny", "none", "udpos", 0].read["some/set"] = "this"
    with pytest.raises(Problem, match=f"tiny-none-udpos-0: .*{told}"):
        compare.differences(a, b)


def test_folders_without_records_and_sides_without_a_common_cell_are_told_in_a_line(sides, tmp_path):
    ours, theirs, _ = sides
    with pytest.raises(Problem, match="no records there"):
        compare.Side.of(str(tmp_path / "nowhere"))
    a, b = compare.Side.of(ours), compare.Side.of(theirs)
    b.cells.clear()
    with pytest.raises(Problem, match="no cell in common"):
        compare.differences(a, b)


def test_the_command_prints_the_table_and_leaves_a_page(own_micro):
    done = own_micro.run("compare", "micro", "micro")
    assert done.returncode == 0, done.stderr
    assert "6 of them equal to the bit" in done.stdout
    page = own_micro.folder / "runs/compare/micro-micro.html"
    assert "micro minus micro" in page.read_text() and "<svg" in page.read_text()
    wrong = own_micro.run("compare", "micro", "macro")
    assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1 and "macro: no records there" in wrong.stderr

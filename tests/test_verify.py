"""Cells run again beside their records: equal where nothing was changed, and told where something was."""

import json

from xtools.run import verify


def test_a_study_that_was_just_run_comes_out_equal_and_a_doctored_record_does_not(own_micro):
    project = own_micro
    path = project.records("micro")["target-tiny-mnli-udpos-s0"]
    record = json.loads(path.read_text())
    record["result"]["scores"]["qab"]["metrics"]["f1"] += 0.25
    path.write_text(json.dumps(record) + "\n")
    done = project.run("verify", "micro", "--cells", "7")
    assert done.returncode == 1, done.stderr
    assert done.stdout.count("equal to the bit") == 6 and "6 of 7 cells came out as recorded, of 7 that are there" in done.stdout
    assert "target-tiny-mnli-udpos-s0: 1 values differ, scores by 0.25 points at most" in done.stdout
    assert not list((project.folder / "runs/micro").glob("verify-*")), "nothing is left"
    assert json.loads(path.read_text()) == record, "records stay what they are"


def test_a_study_that_was_not_run_is_told_so(project):
    done = project.run("verify", "smoke")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "no record of the code and data that are here" in done.stderr


def test_values_that_differ_are_named_wherever_they_are():
    kept = {"scores": {"en": {"metrics": {"f1": 1.0}}}, "curve": [1, 2], "same": "x"}
    made = {"scores": {"en": {"metrics": {"f1": 2.0}}, "de": None}, "curve": [1, 3], "same": "x"}
    assert [*verify.differing(kept, made)] == [("curve[1]", 2, 3), ("scores.en.metrics.f1", 1.0, 2.0)]
    assert [*verify.differing([1], [1, 2], "x")] == [("x", [1], [1, 2])]

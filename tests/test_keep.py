"""Results that stay with the project: a report made from them alone, without the data and without running a cell."""

import csv
import gzip
import html
import json
import re
import shutil

from tests.test_engine import without_times
from xtools import ROOT
from xtools.run import keep


def test_a_report_of_kept_records_is_the_studys_own_and_no_run_takes_them_for_done(own_micro):
    project = own_micro
    done = project.run("keep", "micro")
    assert done.returncode == 0 and done.stdout.startswith("10 records kept in results/micro: "), done.stderr
    folder, report = project.folder / "results/micro", project.folder / "runs/micro/report/report/record.json"
    assert sorted(path.name for path in folder.iterdir()) == [
        "gains.png",
        "items.json",
        "languages.png",
        "records.jsonl.gz",
        "report.html",
        "scores.csv",
    ]
    before = without_times(report)
    shutil.rmtree(project.folder / "runs")
    again = project.run("report", "micro")
    assert again.returncode == 0, again.stderr
    assert "10 records came with the project" in again.stdout
    after = without_times(report)
    assert before["result"]["headline"] == after["result"]["headline"]
    assert [row["verdict"] for row in before["result"]["ledger"]] == [row["verdict"] for row in after["result"]["ledger"]]
    items = json.loads((project.folder / "runs/micro/items.json").read_text())
    assert len(items) == 6, "scores of blocks of items, whose rows are not at hand here"

    planned = project.run("plan", "micro").stdout
    assert re.search(r"target\W+6\W+6\b", planned) and re.search(r"intermediate\W+1\W+1\b", planned), planned


def test_the_table_of_scores_has_every_metric_of_every_language(own_micro):
    project = own_micro
    assert project.run("keep", "micro").returncode == 0
    rows = list(csv.DictReader(open(project.folder / "results/micro/scores.csv")))
    cells = {name: json.loads(path.read_text())["result"] for name, path in project.records("micro").items() if name.startswith("target")}
    held = sum(len(score["metrics"]) for result in cells.values() for score in (*result["scores"].values(), result["dev"]) if score)
    assert len(rows) == held
    one = next(row for row in rows if row["target"] == "xnli" and row["recipe"] == "mnli" and row["split"] == "test")
    score = cells["target-tiny-mnli-xnli-s0"]["scores"][one["language"]]["metrics"][one["metric"]]
    assert abs(float(one["score"]) - score) < 1e-3


def test_an_unfinished_study_is_not_kept(own_micro):
    project = own_micro
    project.records("micro")["target-tiny-mnli-xnli-s0"].unlink()
    done = project.run("keep", "micro")
    assert done.returncode == 2 and "1 cells or its report are missing" in done.stderr
    assert not (project.folder / "results").exists()


def test_a_kept_report_links_to_nothing_beside_it():
    page = (
        '<a href="#x">#</a> <a class="csv" href="tables/x.csv">CSV</a></figcaption><ul><li><a href="index.html">All notebooks</a></li></ul>'
    )
    assert keep.alone(page) == '<a href="#x">#</a></figcaption><ul></ul>'


def test_what_came_with_the_project_makes_a_report_without_its_data(project):
    shutil.copytree(ROOT / "results", project.folder / "results")
    done = project.run("report", "laptop_folder", XTOOLS_MIRROR="")
    assert done.returncode == 0, done.stderr
    assert "132 records came with the project" in done.stdout
    told, kept = (
        (folder / "report.html").read_text() for folder in (project.folder / "runs/laptop_folder", ROOT / "results/laptop_folder")
    )
    for shown in ("retrieval starts high", "eight: gains (points)", "tokenisation tax"):
        assert shown in told and shown in kept
    refused = project.run("study", "laptop_folder", XTOOLS_MIRROR="")
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1 and "XTOOLS_MIRROR is not set" in refused.stderr


def test_what_is_kept_is_small_and_names_no_place_of_the_machine_that_made_it():
    folder = ROOT / "results" / "laptop_folder"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1_500_000
    texts = [gzip.decompress((folder / "records.jsonl.gz").read_bytes()).decode(), (folder / "report.html").read_text()]
    assert not any(str(place) in text for text in texts for place in ("/home/", "/tmp/", "/root/"))


def test_every_interval_that_the_readme_gives_of_the_microworld_is_in_the_reports_of_what_is_kept(project):
    shutil.copytree(ROOT / "results", project.folder / "results")
    (project.folder / "backbones").symlink_to(ROOT / "backbones")
    shown = ""
    for study, records in (("pocket", 290), ("retrieval", 146)):
        done = project.run("report", study)
        assert done.returncode == 0 and f"{records} records came with the project" in done.stdout, done.stderr
        shown += html.unescape((project.folder / "runs" / study / "report.html").read_text()).replace("\u00a0", " ")
    found = re.search(r"## What it found in the microworld\n(.*?)\n## ", (ROOT / "README.md").read_text(), re.S)[1]
    intervals = re.findall(r"\[[+-][\d.]+, [+-][\d.]+\]", " ".join(found.split()))
    assert len(intervals) >= 8 and [interval for interval in intervals if interval not in shown] == []

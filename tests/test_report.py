import ast
import itertools
import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pandas as pd
import pytest

from xtools import ROOT, study, tasks
from xtools.report import claims, costs, tables
from xtools.results import Attempt, Lost, Subset
from xtools.study import Cell


def test_every_section_and_figure_has_an_anchor_and_every_table_lies_beside_the_page(micro):
    project, _ = micro
    folder = project.folder / "runs/micro"
    page = (folder / "report.html").read_text()
    names = re.findall(r'<(?:h2|figure|h3) id="([^"]+)"', page)
    assert len(names) == len(set(names)) and set(re.findall(r'href="#([^"]+)"', page)) <= set(names)
    assert page.count("<h2") == len(re.findall(r"<h2 id=", page)) and page.count("<figure") == len(re.findall(r"<figure id=", page))
    sheets = re.findall(r'href="(tables/[^"]+)"', page)
    assert len(sheets) == page.count("<table") == len(set(sheets)) and all((folder / sheet).exists() for sheet in sheets)
    shown = pd.read_csv(folder / "tables/micro-tiny-gains-points.csv")
    gains = json.loads((folder / "report/report/record.json").read_text())["result"]["ledger"]
    assert shown.set_index("recipe").average["mnli"] == round(next(row["mean"] for row in gains if row["id"] == "mnli-gains"), 1)


def test_the_report_loads_nothing_and_weighs_little(micro):
    page = micro[0].folder / "runs/micro/report.html"
    text = page.read_text()
    assert page.stat().st_size < 5e6 and not re.search(r"https?://|url\(|@import|<link|<script [^>]*src", text)
    assert "micro, tiny: " in text and "<pre" not in text, "nothing stands in a grey box"
    assert "nothing to show yet" not in text and "What is complete: all 10 cells are there" in text


def test_every_figure_in_the_report_follows_from_records(micro):
    import numpy as np

    project, _ = micro
    page = (project.folder / "runs/micro/report.html").read_text()
    record = json.loads((project.folder / "runs/micro/target/target-tiny-none-xnli-s0/record.json").read_text())
    scores = [score["metrics"]["accuracy"] for score in record["result"]["scores"].values()]
    assert f"<td>{np.mean(scores):.1f}</td>" in page
    assert "10 of 10 there, 0 missing" in page


def test_report_is_rebuilt_from_records_alone(own_micro):
    project = own_micro
    (project.folder / "runs/micro/report.html").unlink()
    done = project.run("report", "micro")
    assert done.returncode == 0 and (project.folder / "runs/micro/report.html").exists()


@pytest.mark.parametrize(("slope", "level", "holds"), [(-30, {"small": 60, "large": 80}, "yes"), (30, {"small": 98, "large": 98}, "no")])
def test_world_checks_see_what_was_planted(slope, level, holds):
    from xtools.sources import world

    loaded, rows = study.load("pocket"), []
    for backbone in loaded.backbones:
        for target in loaded.targets:
            for seed in loaded.seeds:
                key = {"backbone": backbone, "recipe": "none", "target": target, "seed": seed, "n": 1, "metric": "m"}
                rows.append(key | {"split": "dev", "language": "qaa", "score": level[backbone] + seed})
                for code, language in world.LANGUAGES.items():
                    rows.append(key | {"split": "test", "language": code, "score": level[backbone] + slope * language.distance + seed})
    assert tables.world_checks(loaded, pd.DataFrame(rows)).holds.tolist() == [holds] * 4


def cells_of(page: str, caption: str) -> list[str]:
    """The cells of every table whose caption ends so."""
    found = re.findall(r"<table[^>]*>\s*<caption>[^<]*" + re.escape(caption) + r"</caption>.*?</table>", page, re.S)
    return [cell for table in found for cell in re.findall(r"<td>(.*?)</td>", table)]


def test_every_score_in_the_report_comes_from_a_record(own_micro):
    copied = own_micro
    for path in copied.records("micro").values():
        record = json.loads(path.read_text())
        if record["phase"] == "target":
            for score in [*record["result"]["scores"].values(), *filter(None, [record["result"]["dev"]])]:
                score["metrics"] = dict.fromkeys(score["metrics"], 42.0)
            path.write_text(json.dumps(record) + "\n")
    assert copied.run("report", "micro").returncode == 0
    page = (copied.folder / "runs/micro/report.html").read_text()
    names = {"none", "mnli", "–"}
    assert set(cells_of(page, "scores (%)")) - names == {"42.0"}
    assert set(cells_of(page, "gains (points)")) - names == {"+0.0"}  # one seed: no interval, and none may be the best
    assert set(re.findall(r"[-+]?\d+\.\d", " ".join(cells_of(page, "gains by benchmark")))) <= {"+0.0"}
    measured = json.loads((copied.folder / "runs/micro/report/report/record.json").read_text())["result"]["ledger"]
    behind = {row["id"]: row["cells"] for row in measured}
    assert behind["mnli-gains"] == [f"target-tiny-{r}-{t}-s0" for r in ("none", "mnli") for t in ("xnli", "udpos", "tatoeba")]
    assert behind["tatoeba-gains"] == [f"target-tiny-{r}-tatoeba-s0" for r in ("none", "mnli")] and behind["squad-gains"] == []
    timed = {"recipes-cost-nothing"}  # a claim about times, which were left as they are
    found = {row["mean"] for row in measured if row["mean"] is not None and row["id"] not in timed}
    assert found <= {0.0, 1.0}, "1.0 is the margin of a claim of no gain"


def test_a_report_with_a_third_of_its_cells_gone_shows_holes_and_says_that_a_record_is_old(own_micro):
    copied = own_micro
    paths = [path for path in copied.records("micro").values() if path.parent.parent.name != "report"]
    for path in sorted(paths)[::3]:
        path.unlink()
    old = [path for path in paths if path.parent.parent.name == "timing" and path.exists()]
    copied.write_study("micro", like="micro", timing={"examples": 7, "repetitions": 2})
    done = copied.run("report", "micro")
    assert f"{len(old)} of 10 records are of other code or parameters; make study PROFILE=micro" in done.stdout
    assert old and all(path.exists() for path in old), "a record of before is shown until the study is run again"
    page = (copied.folder / "runs/micro/report.html").read_text()
    assert done.returncode == 0 and "Cells that are missing: holes above" in page and "undecided" in page
    assert not re.search(r"\bnan\b", re.sub(r'src="data:[^"]*"', "", page).lower())


def test_the_report_types_in_no_figure():
    tree = ast.parse((ROOT / "notebooks/5_report.py").read_text())
    assert {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, int | float)} <= {0, 1}


def test_timing_is_kept_for_reports_made_elsewhere(own_micro):
    copied = own_micro
    done = copied.run("reference", "micro")
    assert done.returncode == 0 and "results/timing-" in done.stdout, done.stderr
    assert copied.run("report", "micro").returncode == 0
    assert "Reference measurements" in (copied.folder / "runs/micro/report.html").read_text()


@pytest.mark.parametrize("rows", [0, 1])
def test_every_table_of_the_report_bears_a_study_with_next_to_nothing_in_it(rows):
    from xtools.report import claims, items, plots, power, questions, stats

    pocket = study.load("pocket")
    small = {"small": pocket.backbones["small"]}
    loaded = pocket.model_copy(update={"name": "nothing", "recipes": ["none"], "targets": ["xnli", "tatoeba"], "backbones": small})
    row = {"backbone": "small", "recipe": "none", "target": "tatoeba", "seed": 0, "metric": "m", "split": "test", "language": "qab"}
    table = pd.DataFrame([row | {"score": 3.0, "n": 5}])[:rows]
    frames = [
        questions.regret_frame(loaded, table), costs.frontier(costs.cost_frame(loaded, table)), questions.gap_frame(loaded, table),
        questions.benchmark_gains(loaded, table), costs.worth_frame(loaded, table), questions.needed(loaded, table),
        tables.degenerate_frame(table), tables.side_by_side(loaded, table), claims.ledger(table, loaded), tables.gap_frame(loaded, table),
        tables.score_frame(loaded, table, "small"), tables.gain_frame(loaded, table, "small"), tables.world_checks(loaded, table),
        tables.benchmark_frame(loaded, table, "small", "xtreme"), costs.timing_frame(loaded), costs.variants_table(loaded),
        stats.complete(stats.task_scores(table), loaded.targets), power.frame(loaded, table), tables.backbone_frame(loaded, table),
        tables.with_and_without(loaded, tables.mark_at_chance(table), "small", "at_chance"), items.frame(loaded, table, "small", items.Items()),
    ]  # fmt: skip
    assert not [frame for frame in frames if re.search(r"\bnan\b", plots.frame(frame).data.lower())]
    assert all(question(loaded, table).effect for question in questions.QUESTIONS.values())


def test_runs_at_chance_are_counted():
    rows = [{"backbone": "small", "recipe": r, "target": "xnli", "seed": s, "split": "dev", "language": "qaa", "score": v, "n": 300}
            for r, s, v in (("none", 0, 34.0), ("none", 1, 80.0), ("mnli", 0, 38.0))]  # fmt: skip
    table = pd.DataFrame(rows)
    assert tables.mark_at_chance(table).at_chance.tolist() == [True, False, True]
    found = tables.degenerate_frame(table)
    assert found["runs at chance"].tolist() == ["2 of 3"] and found.which.tolist() == ["none s0, mnli s0"]


def test_runs_that_were_started_again_are_told_and_marked_with_all_that_starts_from_them(monkeypatch):
    def attempts(*ended):
        return SimpleNamespace(
            result=SimpleNamespace(attempts=[Attempt(tasks=["t"], seed=i, steps=1, dev={}, ended=e) for i, e in enumerate(ended)])
        )

    loaded = study.load("pocket_full")
    lost = Cell("pocket_full", "intermediate", "small", "mnli", seed=0), Cell("pocket_full", "target", "small", "none", "xquad", 1)
    kept = Cell("pocket_full", "target", "small", "none", "xnli", 0)
    cells = [*((cell, attempts("at chance", "kept")) for cell in lost), (kept, attempts("kept"))]
    monkeypatch.setattr(tables.records, "of_phase", lambda study, *phases: cells)
    assert tables.restarts_frame(loaded).values.tolist() == [[cell.name, "t, seed 0: at chance; t, seed 1: kept"] for cell in lost]
    runs = [("none", "xnli", 0), ("mnli", "xnli", 0), ("mnli", "xnli", 1), ("none", "xquad", 1), ("none", "mlqa", 1)]
    table = pd.DataFrame([{"backbone": "small", "recipe": r, "target": t, "seed": s} for r, t, s in runs])
    assert tables.mark_restarted(loaded, table).restarted.tolist() == [False, True, False, True, True], "mlqa has the model of xquad"


def test_what_a_subset_lacks_and_which_answers_are_lost_is_told_once(monkeypatch):
    parts = [Subset(task="t", split="train", part=p, rows=n, published=m) for p, n, m in (("a", 0, 7), ("b", 5, 7), ("c", 0, None))]
    answers = [Lost(task="t", split="train", part="a", rows=1, answers=2)]
    read = SimpleNamespace(result=SimpleNamespace(subset=parts, lost=answers))
    monkeypatch.setattr(tables.records, "of_phase", lambda study, *phases: [(None, read)] * 2)
    shown = tables.subset_frame(None)
    assert shown.part.tolist() == ["a", "b", "c"] and shown.missing[:2].tolist() == [7, 2] and pd.isna(shown.missing[2])
    assert tables.lost_frame(None).values.tolist() == [["a", "train", 2, 1]]
    monkeypatch.setattr(tables.records, "of_phase", lambda study, *phases: [])
    assert tables.subset_frame(None).empty and tables.lost_frame(None).empty


@pytest.mark.parametrize(("latencies", "told"), [((10.0, 10.1, 10.05), "none"), ((10.0, 12.0, 11.0), "latency varies by more than 3%")])
def test_repetitions_that_differ_are_doubted(monkeypatch, latencies, told):
    row = {"backbone": "small", "throughput": 5.0, "utilisation": 0.5, "gflops": 1.0, "memory": 9.0, "joules": None, "doubts": ""}
    timed = pd.DataFrame([row | {"latency": ms, "weights": "trained", "tokenizer": "its own"} for ms in latencies])
    monkeypatch.setattr(costs, "timing_table", lambda loaded: timed)
    assert costs.timing_frame(study.load("pocket")).doubts.tolist() == [told]


def planted_like(entry: dict, without=()) -> pd.DataFrame:
    """A table of every metric whose means over the benchmark's languages, or gains over none, are a published entry's."""
    loaded, rows = study.load("xtreme"), []
    backbone = next(name for name, b in loaded.backbones.items() if b.load == entry["backbone"])
    for target, figures in entry["figures"].items():
        languages = loaded.languages_of(target)
        metrics = figures | ({"f1_exact": (figures["f1"] + figures["exact"]) / 2} if "exact" in figures else {})
        for metric, figure in metrics.items():
            recipes = {entry["recipe"]: figure} if entry["what"] == "score" else {"none": 50.0, entry["recipe"]: 50.0 + figure}
            for (recipe, level), seed, (i, language) in itertools.product(recipes.items(), loaded.seeds, enumerate(languages)):
                spread = 3 * (i - (len(languages) - 1) / 2)  # languages differ, their mean does not
                row = {"backbone": backbone, "recipe": recipe, "target": target, "seed": seed, "split": "test", "metric": metric, "n": 1}
                rows.append(row | {"language": language, "score": level + spread})
    return pd.DataFrame([row for row in rows if row["metric"] not in without])


PUBLISHED = [entry for entry in tables.published() if entry["backbone"].endswith("large")]


@pytest.mark.parametrize("entry", PUBLISHED, ids=[f"{entry['recipe']} {entry['what']}" for entry in PUBLISHED])
def test_scores_equal_to_a_published_row_differ_by_nothing(entry):
    shown = tables.side_by_side(study.load("xtreme"), planted_like(entry))
    own = shown[shown.source.str.startswith(entry["source"]) & (shown.recipe == entry["recipe"])]
    assert len(own) == sum(len(figures) for figures in entry["figures"].values())
    assert set(own.difference) == {"+0.0\u00a0[+0.0,\u00a0+0.0]"}


def test_a_figure_in_a_metric_that_the_records_lack_is_left_out_with_its_reason():
    entry = next(entry for entry in PUBLISHED if "RemBERT" in entry["source"])
    shown = tables.side_by_side(study.load("xtreme"), planted_like(entry, without=("exact",))).set_index(["target", "metric"])
    assert shown.loc[("xquad", "exact")].difference == "left out: our records hold no exact" and shown.loc[("xquad", "exact")].ours == "–"
    assert shown.loc[("xquad", "f1")].difference.startswith("+0.0")


def test_every_published_figure_names_a_metric_of_its_targets_records():
    metrics = {"span": {"f1", "exact"}, "tagging": {"f1"}, "mining": {"f1"}, "classification": {"accuracy"}, "choice": {"accuracy"}}
    for entry in tables.published():
        assert entry["benchmark"] in ("xtreme", "xtreme_r") and entry["confidence"] in ("V", "V2", "A", "R")
        for target, figures in entry["figures"].items():
            task = tasks.get(target)
            assert set(figures) == metrics.get(task.format, {task.metric}), (target, figures)


def test_a_report_says_what_was_left_out_wherever_it_shows_the_multi_task_recipe(monkeypatch):
    monkeypatch.delenv("CCGBANK", raising=False)
    loaded, entry = study.load("xtreme"), next(entry for entry in PUBLISHED if entry["recipe"] == "all")
    run = dict(tables.what_was_run(loaded).itertuples(index=False))
    assert run["recipe all"] == "anli_plus, mnli, qqp, squad_v2, squad_v1, hellaswag, cosmos_qa, commonsense_qa"
    assert run["left out"].startswith("ccg: $CCGBANK is not set, so left out: ccg")
    table = planted_like(entry)
    assert tables.headline(loaded, table[:0]).endswith("cells are there.") and "Left out: ccg." in tables.headline(loaded, table)
    shown = tables.side_by_side(loaded, table)
    assert shown[shown.recipe == "all"].source.str.endswith("our all is without ccg").all()
    told = {row.id: row.claim for row in claims.ledger(table[:0], loaded).itertuples()}
    assert [name for name, claim in told.items() if claim.endswith("(here without ccg)")] == ["multi-task-best"]
    monkeypatch.setenv("CCGBANK", "/nowhere")
    whole = study.load("xtreme")
    assert "left out" not in dict(tables.what_was_run(whole).itertuples(index=False))
    assert not tables.side_by_side(whole, table).source.str.contains("without ccg").any()


def test_published_figures_stand_beside_ours_with_the_difference():
    loaded = study.load("xtreme")
    common = {"backbone": "large", "recipe": "none", "split": "test", "metric": "accuracy", "n": 1, "language": "de", "target": "xnli"}
    table = pd.DataFrame([common | {"seed": s, "score": 80.2 + s} for s in range(3)])
    row = tables.side_by_side(loaded, table).set_index("target").loc["xnli"]  # the one figure that there is a score for
    assert row.published == "79.2" and row.difference.startswith("+2.0") and row.known == "V2"


def test_explore_runs_on_any_studys_records_and_offers_choices(own_micro):
    project = own_micro
    code = "from pathlib import Path; from xtools.run import kernels; "
    code += "kernels.execute(Path('notebooks/explore.py'), {'study': 'micro'}, Path('runs/explored.ipynb'))"
    environment = os.environ | {"PYTHONPATH": str(project.folder)}
    done = subprocess.run([sys.executable, "-c", code], cwd=project.folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    explored = (project.folder / "runs/explored.ipynb").read_text()
    assert "application/vnd.jupyter.widget-view+json" in explored

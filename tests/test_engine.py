"""The study end to end, as a user runs it: in a copy of the project, with real kernels, papermill and Snakemake."""

import json
import re
import shutil

import pytest

HARDLY = {"documents": 100, "vocabulary": 300, "epochs": 1, "batch_size": 16, "max_length": 128, "learning_rate": 1e-3}  # pretrained


def without_times(path):
    """A record without what the clock says."""
    record = json.loads(path.read_text())
    record.pop("times")
    record.pop("peak_memory", None)
    record["result"].pop("measured", None)
    if "ledger" in record["result"]:
        record["result"]["ledger"] = [row for row in record["result"]["ledger"] if row["id"] != "recipes-cost-nothing"]
    return record


def test_a_study_ends_with_its_answer_and_the_reports_path(micro):
    project, printed = micro
    lines = printed.strip().splitlines()
    assert lines[-1] == "report: runs/micro/report.html"
    assert "for tiny is mnli" in lines[-2]
    assert (project.folder / "runs/micro/report.html").stat().st_size < 5_000_000
    assert len(project.records("micro")) == 11
    assert re.search(r"\[10/10\] .*left", printed)


def test_every_executed_notebook_is_a_page(micro):
    project, _ = micro
    for record in project.records("micro").values():
        page = (record.parent / "notebook.html").read_text()
        assert "<h1" in page and "https://" not in page
        assert len(page) < 2_000_000
    page = (project.folder / "runs/micro/target/target-tiny-mnli-xnli-s0/notebook.html").read_text()
    assert "training loss" in page or "<img" in page
    assert "entailment" in page, "predictions stand beside gold answers"


def test_a_finished_study_starts_nothing_and_says_so_at_once(micro):
    project, _ = micro
    before = {name: path.stat().st_mtime_ns for name, path in project.records("micro").items()}
    import time

    start = time.monotonic()
    again = project.run("study", "micro")
    assert time.monotonic() - start < 3
    assert "nothing to do" in again.stdout
    assert {name: path.stat().st_mtime_ns for name, path in project.records("micro").items()} == before


def test_a_deleted_record_is_the_only_one_run_again_and_comes_out_equal(own_micro):
    project = own_micro
    paths = project.records("micro")
    stamps = {name: path.stat().st_mtime_ns for name, path in paths.items()}
    victim = "target-tiny-mnli-xnli-s0"
    before = without_times(paths[victim])
    paths[victim].unlink()
    again = project.run("study", "micro")
    assert again.returncode == 0
    after = project.records("micro")
    assert {name for name in after if after[name].stat().st_mtime_ns != stamps[name]} == {victim, "report"}
    assert without_times(after[victim]) == before


def test_the_same_parameters_give_the_same_records(own_micro):
    """Every cell run once more, in a project of its own."""
    first = {name: without_times(path) for name, path in own_micro.records("micro").items()}
    shutil.rmtree(own_micro.folder / "runs")
    assert own_micro.run("study", "micro").returncode == 0
    second = {name: without_times(path) for name, path in own_micro.records("micro").items()}
    assert {name: record["result"] for name, record in first.items()} == {name: record["result"] for name, record in second.items()}


def test_a_study_of_another_name_runs_nothing(own_micro):
    own_micro.write_study("renamed", like="micro", title="The same under another name")
    done = own_micro.run("study", "renamed")
    assert done.returncode == 0 and not re.search(r"^\[\d+/\d+\]", done.stdout, re.M), done.stdout
    assert len(own_micro.records("renamed")) == 11
    assert "The same under another name" in (own_micro.folder / "runs/renamed/report.html").read_text()


def test_cells_that_two_studies_have_in_common_are_run_once(own_micro):
    stamps = {path.resolve(): path.stat().st_mtime_ns for path in own_micro.records("micro").values()}
    own_micro.write_study("wider", like="micro", targets=["xnli", "udpos", "tatoeba", "panx"], timing={"examples": 6, "repetitions": 1})
    done = own_micro.run("study", "wider")
    run = set(re.findall(r"^\[\d+/\d+\] \S+ (target\S+|timing[^\s,]+)", done.stdout, re.M))
    assert run == {"target-tiny-none-panx-s0", "target-tiny-mnli-panx-s0", "timing-tiny-r0"}, done.stdout
    records = own_micro.records("wider")
    assert records["intermediate-tiny-mnli-s0"].resolve() == own_micro.records("micro")["intermediate-tiny-mnli-s0"].resolve()
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())


def test_parameters_of_before_are_found_again_and_pruned_when_no_study_has_them(own_micro):
    before = (own_micro.folder / "params/micro.yaml").read_text()
    own_micro.write_study("micro", like="micro", evaluation={"dev": 20, "test": 20})
    assert own_micro.run("study", "micro").returncode == 0
    (own_micro.folder / "params/micro.yaml").write_text(before)
    again = own_micro.run("study", "micro")
    assert again.returncode == 0 and not re.search(r"^\[\d+/\d+\]", again.stdout, re.M), "the records of before are still there"
    assert re.match(r"removed 7 cells", own_micro.run("prune").stdout), "one intermediate and six target cells"
    assert own_micro.run("prune").stdout.startswith("removed 0 cells")


def test_a_cell_that_fails_leaves_the_rest_and_is_listed(project, parquet_root):
    def nli(label, i):
        return {"premise": f"premise {i}", "hypothesis": f"hypothesis {i}", "label": label}

    good = [nli(i % 3, i) for i in range(40)]
    parquet_root("nyu-mll/glue", "mnli", {"train": good, "validation_matched": good})
    parquet_root("facebook/xnli", "en", {"validation": good, "test": good})
    parquet_root("facebook/xnli", "de", {"validation": good, "test": [*good[:3], nli(7, 3)]})
    tatoeba = [{"source_sentence": f"Satz {i}\n", "target_sentence": f"sentence {i}\n"} for i in range(20)]
    root = parquet_root("google/xtreme", "tatoeba.deu", {"validation": tatoeba})
    project.write_study(
        "broken",
        source=str(root),
        subset=True,
        source_language="en",
        languages={"xnli": ["en", "de"], "tatoeba": ["de"]},
        seeds=[0],
        recipes=["none"],
        targets=["xnli", "tatoeba"],
        pretraining=HARDLY,
    )
    done = project.run("study", "broken")
    assert done.returncode == 1
    assert "failed: target-tiny-none-xnli-s0: facebook/xnli (de, test), row 3, column label: 7 is outside 0..2" in done.stdout
    assert "1 of 5 cells failed" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    there = project.records("broken")
    assert "target-tiny-none-tatoeba-s0" in there and "target-tiny-none-xnli-s0" not in there
    failed = project.folder / "runs/broken/target/target-tiny-none-xnli-s0"
    assert "outside 0..2" in (failed / "notebook.html").read_text()
    report = (project.folder / "runs/broken/report.html").read_text()
    assert "target-tiny-none-xnli-s0" in report and "–" in report
    # the cause mended, only what is missing runs
    parquet_root("facebook/xnli", "de", {"validation": good, "test": good})
    again = project.run("study", "broken")
    assert again.returncode == 0, again.stdout


@pytest.mark.parametrize(
    ("words", "environment", "told"),
    [
        (["study", "poket"], {}, "params/poket.yaml: no such study; did you mean pocket?"),
        (["study", "laptop_folder"], {"XTOOLS_MIRROR": ""}, "params/laptop_folder.yaml: source"),
        (["study", "laptop_folder"], {"XTOOLS_MIRROR": "/nowhere"}, "no such folder"),
    ],
)
def test_a_users_mistake_is_one_line_and_status_2(project, words, environment, told):
    done = project.run(*words, **environment)
    assert done.returncode == 2
    assert told in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not (project.folder / "runs" / words[1]).exists(), "nothing may be written"


def test_two_runs_of_one_study_do_not_meet(own_micro):
    import fcntl

    project = own_micro
    next(iter(project.records("micro").values())).unlink()
    with open(project.folder / "runs/micro/lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = project.run("study", "micro")
    assert done.returncode == 2 and "another run" in done.stderr


def test_a_killed_kernel_is_a_failed_cell(project):
    text = (project.folder / "notebooks/3_target.py").read_text()
    trained = '# %%\nwith run.clock("training"):\n'
    deadly = text.replace(trained, f"# %%\nimport os, signal\n\nos.kill(os.getpid(), signal.SIGKILL)\n{trained[5:]}", 1)
    assert deadly != text
    (project.folder / "notebooks/3_target.py").write_text(deadly)
    project.write_study("killed", seeds=[0], recipes=["none"], targets=["xnli"], pretraining=HARDLY)
    done = project.run("study", "killed")
    assert done.returncode == 1
    assert "its kernel died" in done.stdout
    assert "target-tiny-none-xnli-s0" not in project.records("killed")


def test_plan_runs_nothing(project):
    done = project.run("plan", "smoke")
    assert done.returncode == 0
    assert re.search(r"target\W+48\W+48\W", done.stdout)
    assert not (project.folder / "runs/smoke").exists()


def test_a_cell_runs_by_hand_without_a_server(own_micro):
    """As on a cluster's compute node."""
    import os
    import subprocess
    import sys

    project = own_micro
    victim = project.records("micro")["target-tiny-none-tatoeba-s0"]
    before = without_times(victim)
    victim.unlink()
    environment = {k: v for k, v in os.environ.items() if k != "XTOOLS_WARM"} | {"PYTHONPATH": str(project.folder)}
    command = [sys.executable, "-m", "xtools.run.warm", "micro", "target-tiny-none-tatoeba-s0"]
    subprocess.run(command, cwd=project.folder, env=environment, check=True, capture_output=True)
    assert without_times(victim) == before


def test_a_study_runs_without_any_network(own_micro):
    """Where not even loopback is up, and nothing tells the libraries that they are offline."""
    import os
    import subprocess
    import sys

    alone = ["unshare", "--map-root-user", "--net"]
    if subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("this machine gives no network namespace")
    project = own_micro
    for phase in ("backbone", "target", "timing"):
        next(path for name, path in project.records("micro").items() if name.startswith(phase)).unlink()
    environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"} | {"PYTHONPATH": str(project.folder)}
    command = [*alone, sys.executable, "-m", "xtools", "study", "micro"]
    done = subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0 and "[3/3]" in done.stdout, done.stdout + done.stderr


def test_the_site_links_the_report_and_every_notebook(own_micro):
    project = own_micro
    assert (project.folder / "runs/micro/index.html").exists(), "it came with the study"
    done = project.run("site", "micro")
    assert done.returncode == 0 and done.stdout.strip() == "index: runs/micro/index.html", done.stderr
    folder = project.folder / "runs/micro"
    assert (project.folder / "runs/micro/cells.js").read_text().count("/") == 10, "the order of the cells, for their pages"
    links = re.findall(r'href="([^"]+)"', (folder / "index.html").read_text())
    assert len(links) == 11 and all((folder / link).exists() for link in links)
    project.write_study("siteless", seeds=[9])
    done = project.run("site", "siteless")
    assert done.returncode == 2 and "no report yet" in done.stderr


def test_timing_alone_runs_no_other_phase(project):
    timing = {"examples": 6, "repetitions": 2}
    project.write_study("clock", seeds=[0], recipes=["none", "mnli"], targets=["xnli"], pretraining=HARDLY, timing=timing)
    done = project.run("timing", "clock")
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(project.records("clock")) == {"backbone-tiny-s0", "timing-tiny-r0", "timing-tiny-r1", "report"}

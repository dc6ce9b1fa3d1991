"""What is asked for cells as jobs, and what is told of jobs, with Slurm's commands played; a real one is tried in test_slurm.py."""

import json
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from xtools import study
from xtools.problems import Problem
from xtools.run import cell, cluster, jobs, plan
from xtools.study import Cell


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A function that makes a cluster of a profile, an answer to each of Slurm's commands, and a study; what was asked is in `asked`."""
    monkeypatch.setattr(cluster, "ROOT", tmp_path)
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: name.endswith("_slurm"))
    asked = []

    def make(profile="default-resources: {runtime: 600}", study=None, **answers):
        folder = tmp_path / "profiles" / "slurm"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(profile)

        def ask(*words):
            asked.append(words)
            return answers.get(words[0], "" if words[0] in ("squeue", "scancel") else None)

        monkeypatch.setattr(cluster, "_ask", ask)
        refusal = answers.get("sbatch", "")
        ended = SimpleNamespace(returncode=bool(refusal), stderr=refusal)
        monkeypatch.setattr(cluster.subprocess, "run", lambda words, **_: asked.append(words) or ended)
        plain = SimpleNamespace(name="any", device="auto", threads=1, backbones={"a": SimpleNamespace(load=None)})
        made = cluster.Cluster("slurm", study or plain)
        made.asked = asked
        return made

    return make


@pytest.mark.parametrize(
    ("gres", "device", "gpu"),
    [
        (None, "auto", None),
        ("gpu:1", "auto", "t4"),
        ("gpu:a100:1", "auto", "a100"),
        ("gpu:H200:2", "cuda", "h200"),
        ("gpu:l40s", "cpu", None),
    ],
)
def test_a_gpu_is_asked_for_where_profile_and_study_say_so(slurm, gres, device, gpu):
    resources = f"default-resources: {{runtime: 60{f', gres: {gres!r}' if gres else ''}}}"
    made = slurm(resources)
    made.study.device = device
    assert made.gpu() == gpu
    assert ("target" in made.on_cpu()) == (device == "cpu")


@pytest.fixture
def grid(tmp_path):
    """Two backbones, and 80 targets of each in turn."""
    names = [f"backbone-{i}" for i in range(2)] + [f"target-{i}" for i in range(160)]
    cells = {name: plan.Entry(name.split("-")[0], None, "", ["any", *name.split("-")], int(1e9)) for name in names}
    for i in range(160):
        cells[f"target-{i}"] = replace(cells[f"target-{i}"], upstream=f"backbone-{i // 80}")
    return plan.Plan(tmp_path, "", cells)


def expecting(made, grid, backbone: float, target: float):
    """A cluster that expects so many minutes of cells."""
    made.__dict__["expected"] = {Cell(*entry.cell): {"backbone": backbone, "target": target}[entry.phase] for entry in grid.cells.values()}
    return made


def test_a_job_carries_half_an_hour_of_cells_and_asks_for_more(slurm, grid):
    found = expecting(slurm(), grid, 40, 1).jobs(grid, [*grid.cells])
    assert [name for job in found.values() for name in job.cells] == [*grid.cells], "each once, in their order"
    sizes = [len(job.cells) for job in found.values()]
    assert sizes[:2] == [1, 1] and len(sizes) == 8 and {*sizes[2:]} <= {26, 27}, "about equal"
    assert all(job.minutes == cluster.FACTOR * (40 if job.phase == "backbone" else len(job.cells)) for job in found.values())
    assert {job.memory for job in found.values()} == {int((1e9 + cluster.SHARED) / 1e6)}


def test_a_job_asks_for_no_more_than_the_profile_allows(slurm, grid):
    found = expecting(slurm("default-resources: {runtime: 60, gres: 'gpu:1'}"), grid, 1000, 1).jobs(grid, [*grid.cells])
    assert found["backbone-0"].minutes == 60
    assert max(len(job.cells) for job in found.values()) == 20 and max(job.minutes for job in found.values()) == 60
    assert {job.memory for job in found.values()} == {int((1e9 + cluster.SHARED + cluster.DRIVER) / 1e6)}


def test_a_job_waits_for_those_that_run_what_its_cells_start_from(slurm, grid):
    jobs.write(grid, expecting(slurm(), grid, 40, 1).jobs(grid, [name for name in grid.cells if name != "backbone-1"]))
    told = json.loads((grid.folder / jobs.FILE).read_text())
    assert {name: job["after"] for name, job in told.items()} == {
        "backbone-0": [],
        **{f"target-{i}": ["backbone-0"] for i in range(3)},
        **{f"target-{i}": [] for i in range(3, 6)},
    }


def test_what_a_study_costs_is_worked_out_for_each_of_its_cells(slurm):
    loaded = study.load("smoke")
    expected = slurm(study=loaded).expected
    assert {*expected} == {*loaded.cells()} and all(cluster.OVERHEAD < minutes < 2 for minutes in expected.values())


def test_squeue_is_asked_where_accounting_is_off_and_soon_enough(slurm):
    assert slurm(sacct="")._status_words() == []
    assert slurm(scontrol="MinJobAge = 30 sec\n")._status_words() == [
        "--slurm-status-command",
        "squeue",
        "--slurm-init-seconds-before-status-checks",
        "10",
    ]
    assert slurm(scontrol="MinJobAge = 300 sec\n")._status_words() == ["--slurm-status-command", "squeue"]


def test_only_jobs_of_this_study_and_copy_are_live(slurm):
    name = slurm().name
    made = slurm(squeue=f"1|RUNNING|{name}_ab\n2|PENDING|{name}_cd\n3|RUNNING|{name}x_ef\n4|PENDING|other\n")
    assert made.live() == {"1": "RUNNING", "2": "PENDING"}
    made.cancel()
    assert made.asked[-1] == ("scancel", "1", "2")


@pytest.mark.parametrize(("queue", "idle"), [("", True), ("1|RUNNING|{name}_ab\n", False), ("1|RUNNING|other\n", True), (None, False)])
def test_a_cluster_is_idle_when_it_has_had_no_job_for_long(slurm, monkeypatch, queue, idle):
    made = slurm()
    monkeypatch.setattr(cluster, "_ask", lambda *_: queue and queue.format(name=made.name))
    assert not made.is_idle()
    later = time.monotonic() + cluster.IDLE + 1
    monkeypatch.setattr(cluster, "time", SimpleNamespace(monotonic=lambda: later))
    assert made.is_idle() == idle


@pytest.mark.parametrize(
    ("state", "last", "told"),
    [
        ("TIMEOUT", False, "its job 7 ran out of time (TIMEOUT); set more `runtime` in set-resources of profiles/slurm/config.yaml; log: "),
        ("OUT_OF_MEMORY", False, "its job 7 ran out of memory (OUT_OF_MEMORY); set more `mem_mb`"),
        ("CANCELLED", True, "its job 7 was cancelled (CANCELLED); log: "),
        ("CANCELLED", False, None),
    ],
)
def test_a_cell_whose_job_ended_before_it_says_how_and_names_the_log(slurm, tmp_path, state, last, told):
    made = slurm(scontrol=f"JobId=7 JobState={state} Reason=None")
    grid = plan.Plan(tmp_path / "any", "", {"one": plan.Entry("target", None, "", [])})
    folder, logs = grid.record("one").parent, tmp_path / "any/.snakemake/slurm_logs/rule_target/target-0"
    for made_folder in (folder, logs):
        made_folder.mkdir(parents=True)
    (folder / cell.RUNNING).write_text("7".ljust(100))
    (logs / "7.log").write_text("")
    made.explain(grid, ["one"], last)
    left = folder / cell.FAILED
    assert (left.read_text().startswith(told) and "7.log" in left.read_text()) if told else not left.exists()


def test_what_slurm_would_not_take_is_told_before_anything_runs(slurm):
    resources = """default-resources: {runtime: 60, slurm_partition: nowhere, gres: "'gpu:1'"}"""
    with pytest.raises(Problem, match=r"no job that asks for --partition=nowhere --gres=gpu:1 --time=60: invalid partition: nowhere$"):
        slurm(resources, sbatch="sbatch: error: invalid partition: nowhere\n")


@pytest.mark.parametrize(
    ("executor", "profile", "told"),
    [
        ("slurm;x", None, "no name of an executor"),
        ("lsf", None, "not installed; .venv/bin/pip install snakemake-executor-plugin-lsf"),
        ("slurm", None, "write profiles/slurm/config.yaml first"),
        ("slurm", "jobs: [", "profiles/slurm/config.yaml: "),
        ("slurm", "jobs: 3", "default-resources holds `runtime: <minutes>`"),
    ],
)
def test_an_executor_that_cannot_be_used_is_told_in_one_line(slurm, tmp_path, executor, profile, told):
    slurm()
    path = tmp_path / "profiles/slurm/config.yaml"
    path.unlink() if profile is None else path.write_text(profile)
    with pytest.raises(Problem, match=told.replace(".", r"\.")) as raised:
        cluster.Cluster(executor, None if executor != "slurm" or profile is None else SimpleNamespace(name="any"))
    assert "\n" not in str(raised.value)

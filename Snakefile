# The grid: one rule per phase. Which cells there are and what each starts from stand in the plan that `python -m xtools study` writes
# (xtools/run/plan.py); which of them are missing is decided there too, so records are `ancient` here.
import os
import sys

sys.path.insert(0, workflow.basedir)  # also where a job starts without the environment of its submitter
os.environ["PYTHONPATH"] = workflow.basedir
os.environ.setdefault("PYTHONHASHSEED", "0")

from xtools import ROOT
from xtools.run import plan, warm

CELLS = plan.read(ROOT / "runs" / config["study"]).cells
THREADS = int(config.get("threads", 1))
ON_CPU = (config.get("on_cpu") or "").split()  # phases that ask for no GPU, whatever the cluster's profile says
IS_JOB = warm.ADDRESS not in os.environ  # a scheduler's: it shares nothing with others on its machine
ALONE = (warm.SHARED if IS_JOB else 0) + (warm.DRIVER if config.get("gpu") else 0)


def record(name):
    return f"{CELLS[name].phase}/{name}/record.json"


def upstream(wildcards):
    name = CELLS[wildcards.cell].upstream
    return [ancient(record(name))] if name else []


def memory(wildcards):
    return int((CELLS[wildcards.cell].memory + ALONE) / 1e6)


def minutes(wildcards):
    return CELLS[wildcards.cell].minutes


def processor(wildcards, resources):
    """What the job asked for, by the names that executors have for it."""
    asked = [resources.get(name) for name in ("gpu", "gpus", "nvidia_gpu", "gpu_model")] + ["gpu" in str(resources.get("gres"))]
    return "gpu" if any(asked) else "cpu"


rule all:
    input:
        [ancient(record(name)) for name in CELLS],


for phase in ("backbone", "intermediate", "target", "timing"):

    rule:
        name:
            phase
        input:
            upstream,
        output:
            f"{phase}/{{cell}}/record.json",
        # Timing has the machine to itself: another cell beside it would be measured too.
        threads: workflow.cores if phase == "timing" else THREADS
        params:
            job=lambda wildcards, resources: f"{warm.JOB}={processor(wildcards, resources)} " if IS_JOB else "",
        resources:
            mem_mb=memory,
            **({"runtime": minutes} if IS_JOB else {}),
            **({"gres": ""} if phase in ON_CPU else {}),
        shell:
            "{params.job}" + f"{sys.executable} -m xtools.run.warm {config['study']}" + " {wildcards.cell}"

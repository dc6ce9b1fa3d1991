# The grid: one rule per phase. Which cells are missing, and which of them make a job, is decided before (xtools/run/plan.py, jobs.py).
import json
import os
import sys

os.environ["PYTHONPATH"] = workflow.basedir  # also where a job starts without the environment of its submitter
os.environ.setdefault("PYTHONHASHSEED", "0")

with open(os.path.join(workflow.basedir, "runs", config["study"], "jobs.json")) as file:
    JOBS = json.load(file)
THREADS = int(config.get("threads", 1))
IS_JOB = "on_cpu" in config  # of a scheduler, elsewhere
ON_CPU = (config.get("on_cpu") or "").split()  # phases that ask for no GPU, whatever the cluster's profile says


def mark(name):
    return f"jobs/{JOBS[name]['phase']}/{name}"


def command(wildcards, resources):
    cells = JOBS[wildcards.job]["cells"]
    if not IS_JOB:
        return [sys.executable, "-m", "xtools.run.warm", config["study"], *cells]
    return [sys.executable, "-m", "xtools.run.in_job", processor(resources), config["study"], *cells]


def processor(resources):
    """What the job asked for, by the names that executors have for it."""
    asked = [resources.get(name) for name in ("gpu", "gpus", "nvidia_gpu", "gpu_model")] + ["gpu" in str(resources.get("gres"))]
    return "gpu" if any(asked) else "cpu"


rule all:
    input:
        [mark(name) for name in JOBS],


for phase in ("backbone", "intermediate", "target", "timing"):

    rule:
        name:
            phase
        input:
            lambda wildcards: [mark(name) for name in JOBS[wildcards.job]["after"]],
        output:
            touch(f"jobs/{phase}/{{job}}"),
        # Timing has the machine to itself: another cell beside it would be measured too.
        threads: workflow.cores if phase == "timing" else THREADS
        params:
            command=command,
        resources:
            mem_mb=lambda wildcards: JOBS[wildcards.job]["memory"],
            **({"runtime": lambda wildcards: JOBS[wildcards.job]["minutes"]} if IS_JOB else {}),
            **({"gres": ""} if phase in ON_CPU else {}),
        shell:
            "{params.command:q}"

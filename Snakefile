# The grid: one rule per phase. Which cells there are and what each starts from stand in the plan that `python -m xtools study` writes
# (xtools/run/plan.py); which of them are missing is decided there too, so records are `ancient` here.
import os
import sys

from xtools import ROOT
from xtools.run import plan, warm

CELLS = plan.read(ROOT / "runs" / config["study"]).cells
RUN = f"{sys.executable} -m xtools.run.warm {config['study']}"
THREADS = int(config.get("threads", 1))
ALONE = 0 if warm.ADDRESS in os.environ else warm.SHARED  # a cell without a server imports all that it uses itself


def record(name):
    return f"{CELLS[name].phase}/{name}/record.json"


def memory(wildcards):
    return int((CELLS[wildcards.cell].memory + ALONE) / 1e6)


def upstream(wildcards):
    name = CELLS[wildcards.cell].upstream
    return [ancient(record(name))] if name else []


rule all:
    input:
        [ancient(record(name)) for name in CELLS],


rule backbone:
    output:
        "backbone/{cell}/record.json",
    threads: THREADS
    resources:
        mem_mb=memory,
    shell:
        RUN + " {wildcards.cell}"


rule intermediate:
    input:
        upstream,
    output:
        "intermediate/{cell}/record.json",
    threads: THREADS
    resources:
        mem_mb=memory,
    shell:
        RUN + " {wildcards.cell}"


rule target:
    input:
        upstream,
    output:
        "target/{cell}/record.json",
    threads: THREADS
    resources:
        mem_mb=memory,
    shell:
        RUN + " {wildcards.cell}"


# Timing has the machine to itself: another cell beside it would be measured too.
rule timing:
    input:
        upstream,
    output:
        "timing/{cell}/record.json",
    threads: workflow.cores
    resources:
        mem_mb=memory,
    shell:
        RUN + " {wildcards.cell}"

"""The command line: `python -m xtools COMMAND [STUDY]`, which the Makefile's targets call."""

import argparse
import json
import os
import sys
from pathlib import Path

from xtools import ROOT
from xtools.problems import Problem


def main(words: list[str] | None = None) -> int:
    """Run one command; the exit status: 0, 1 when cells failed, 2 for a mistake of the user's, told in one line."""
    parser = argparse.ArgumentParser(prog="xtools", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("study", "run what is missing of a study, then report"),
        ("timing", "run what is missing of a study's timing alone, then report"),
        ("report", "rebuild the report from the records alone"),
        ("fetch", "download everything a study needs"),
        ("plan", "show the cells, downloads, disk and compute of a study, running nothing"),
        ("backbones", "make the published backbones of a study that are missing or of another world"),
        ("site", "write an index page of the report and every executed notebook"),
        ("reference", "keep a study's timing with the project, for reports made on other machines"),
        ("submission", "write the predictions of a study in XTREME's layout"),
        ("calibrate", "sweep task sizes on the published backbones and print the table"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("profile", nargs="?", default="pocket")
        command.add_argument("--cores", type=positive, default=None, help="cells at a time (default: all cores, or one per GPU)")
        if name == "plan":
            command.add_argument("--gpu", help="estimate hours for this GPU instead of this machine")
        command.add_argument("--engine", default="", help="further words for Snakemake, such as '--executor slurm --jobs 64'")
    scored = commands.add_parser("score", help="score a folder of predictions in XTREME's layout against gold labels")
    scored.add_argument("predictions", type=Path)
    scored.add_argument("labels", type=Path)
    scored.add_argument("--benchmark", choices=("xtreme", "xtreme_r"), default="xtreme")
    scored.add_argument("--json", action="store_true", help="all scores in full precision")
    asked = parser.parse_args(words)
    try:
        return run(asked)
    except Problem as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; what was finished is kept, run again to go on", file=sys.stderr)
        return 130


def positive(word: str) -> int:
    """A whole number of at least 1; argparse tells of any other in one line, with status 2."""
    if not word.isdigit() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word} is not a whole number of at least 1")
    return int(word)


def run(asked: argparse.Namespace) -> int:
    if asked.command == "study":
        from xtools.run import engine

        return engine.run(asked.profile, asked.cores, asked.engine)
    if asked.command == "timing":
        from xtools.run import engine

        return engine.run(asked.profile, asked.cores, asked.engine, phase="timing")
    if asked.command == "report":
        from xtools.run import engine

        return engine.report(asked.profile)
    if asked.command == "score":
        from xtools.report import submission

        found = submission.score(asked.predictions, asked.labels, asked.benchmark)
        print(json.dumps(found, indent=1) if asked.json else submission.table(found))
        return 0
    from xtools import study

    loaded = study.load(asked.profile)
    if asked.command == "submission":
        from xtools.report import submission

        files = submission.write(loaded)
        print(f"{len(files)} files in runs/{loaded.name}/submission")
    if asked.command == "reference":
        from xtools.report import costs

        print(costs.keep_reference(loaded))
    if asked.command == "site":
        from xtools.report import pages

        print(f"index: {pages.site(loaded).relative_to(ROOT)}")
    if asked.command == "fetch":
        from xtools.run import fetch

        return fetch.run(loaded)
    if asked.command == "plan":
        from xtools.run import estimate

        estimate.show(loaded, asked.gpu)
    if asked.command == "backbones":
        from xtools import backbones

        backbones.publish_all(loaded, asked.cores or len(os.sched_getaffinity(0)))
    if asked.command == "calibrate":
        from xtools.run import calibration

        calibration.run(loaded, asked.cores or len(os.sched_getaffinity(0)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

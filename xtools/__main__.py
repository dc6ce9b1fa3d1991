"""The command line: `python -m xtools COMMAND [STUDY]`, which the Makefile's targets call."""

import argparse
import contextlib
import json
import os
import sys
from pathlib import Path

from xtools import ROOT
from xtools.problems import Problem
from xtools.processes import stop_on_signals

# What is heavy to import is imported by the command that needs it, so that a finished study answers at once.


def study(asked: argparse.Namespace) -> int:
    """run what is missing of a study, then report"""
    from xtools.run import engine

    return engine.run(asked.profile, asked.cores, asked.engine)


def timing(asked: argparse.Namespace) -> int:
    """run what is missing of a study's timing alone, then report"""
    from xtools.run import engine

    return engine.run(asked.profile, asked.cores, asked.engine, phase="timing")


def report(asked: argparse.Namespace) -> int:
    """rebuild the report from the records alone"""
    from xtools.run import engine

    return engine.report(asked.profile)


def plan(asked: argparse.Namespace) -> int:
    """show the cells, downloads, disk and compute of a study, running nothing"""
    from xtools.study import load, resolved

    loaded = load(asked.profile)  # a mistake is told before what is heavy is imported
    from xtools.run import estimate, footprint

    if asked.resolved:
        print(resolved(loaded), end="")
        return 0
    if loaded.left_out:
        print(loaded.left_out_told())
    estimate.show(loaded, asked.gpu)
    print(footprint.told(loaded))
    return 0


def fetch(asked: argparse.Namespace) -> int:
    """download everything a study needs"""
    from xtools.run import fetch
    from xtools.study import load

    return fetch.run(load(asked.profile))


def site(asked: argparse.Namespace) -> int:
    """write an index page of the report and every executed notebook"""
    from xtools.report import pages
    from xtools.study import load

    print(f"index: {pages.site(load(asked.profile)).relative_to(ROOT)}")
    return 0


def reference(asked: argparse.Namespace) -> int:
    """keep a study's timing with the project, for reports made on other machines"""
    from xtools.report import costs
    from xtools.study import load

    print(costs.keep_reference(load(asked.profile)))
    return 0


def keep(asked: argparse.Namespace) -> int:
    """keep a finished study's records, scores and report with the project"""
    from xtools.run import keep
    from xtools.study import load

    print(keep.keep(load(asked.profile, needs_data=False)))
    return 0


def submission(asked: argparse.Namespace) -> int:
    """write the predictions of a study in XTREME's layout"""
    from xtools.report import submission
    from xtools.study import load

    files = submission.write(load(asked.profile))
    print(f"{len(files)} files in runs/{asked.profile}/submission")
    return 0


def backbones(asked: argparse.Namespace) -> int:
    """make the published backbones of a study that are missing or outdated"""
    from xtools.backbones import publish_all
    from xtools.study import load

    publish_all(load(asked.profile), asked.cores or len(os.sched_getaffinity(0)))
    return 0


def calibrate(asked: argparse.Namespace) -> int:
    """sweep task sizes on the published backbones and print the table"""
    from xtools.run import calibration
    from xtools.study import load

    calibration.run(load(asked.profile), asked.cores or len(os.sched_getaffinity(0)))
    return 0


def statistics(asked: argparse.Namespace) -> int:
    """hold the report's tests against simulated studies with known effects"""
    from xtools.run import planting

    planting.run()
    return 0


def prune(asked: argparse.Namespace) -> int:
    """remove the cells that no study's plan has any more"""
    from xtools.run.plan import prune

    cells, size = prune()
    print(f"removed {cells} cells, {size / 1e6:,.0f} MB")
    return 0


def verify(asked: argparse.Namespace) -> int:
    """run some cells of a finished study again and tell what differs from their records"""
    from xtools.run import verify

    return verify.run(asked.profile, asked.cells, asked.seed)


def compare(asked: argparse.Namespace) -> int:
    """tell by how much the scores of two studies, or folders of records, differ"""
    from xtools.report import compare

    table, page = compare.page(asked.a, asked.b)
    print(f"{table}\npage: {page.relative_to(ROOT)}")
    return 0


def score(asked: argparse.Namespace) -> int:
    """score a folder of predictions in XTREME's layout against gold labels"""
    from xtools.report import submission

    found = submission.score(asked.predictions, asked.labels, asked.benchmark)
    print(json.dumps(found, indent=1) if asked.json else submission.table(found))
    return 0


OF_A_STUDY = (study, timing, report, plan, fetch, site, reference, keep, submission, verify, backbones, calibrate)


def parser() -> argparse.ArgumentParser:
    """The commands with their options; a command's help is its function's docstring."""
    words = argparse.ArgumentParser(prog="xtools", description=__doc__)
    commands = words.add_subparsers(dest="command", required=True)
    for run in (*OF_A_STUDY, statistics, prune, compare, score):
        command = commands.add_parser(run.__name__, help=run.__doc__)
        command.set_defaults(run=run)
        if run in OF_A_STUDY:
            command.add_argument("profile", nargs="?", default="pocket")
            command.add_argument("--cores", type=positive, default=None, help="cells at a time (default: all cores, or one per GPU)")
            command.add_argument("--engine", default="", help="further words for Snakemake, such as '--executor slurm --jobs 64'")
        if run is plan:
            command.add_argument("--gpu", help="estimate hours for this GPU instead of this machine")
            command.add_argument("--resolved", action="store_true", help="print all parameters instead, defaults filled in")
        if run is verify:
            command.add_argument("--cells", type=positive, default=3, help="how many cells")
            command.add_argument("--seed", type=int, default=0, help="draws them")
        if run is compare:
            command.add_argument(
                "a", help="a study that was run, or a folder of records: runs/<study> of another checkout, results/<study>"
            )
            command.add_argument("b")
        if run is score:
            command.add_argument("predictions", type=Path)
            command.add_argument("labels", type=Path)
            command.add_argument("--benchmark", choices=("xtreme", "xtreme_r"), default="xtreme")
            command.add_argument("--json", action="store_true", help="all scores in full precision")
    return words


def positive(word: str) -> int:
    """A whole number of at least 1; argparse tells of any other in one line, with status 2."""
    if not word.isdigit() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word} is not a whole number of at least 1")
    return int(word)


def main(words: list[str] | None = None) -> int:
    """Run one command; the exit status: 0, 1 when cells failed, 2 for a mistake of the user's, told in one line."""
    stop_on_signals()
    asked = parser().parse_args(words)
    try:
        return asked.run(asked)
    except Problem as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt as stopped:
        with contextlib.suppress(OSError):  # the terminal may be what has gone
            print(str(stopped) or "stopped; what was finished is kept, run again to go on", file=sys.stderr)
        return 130
    except BrokenPipeError:  # who reads what is told has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1


if __name__ == "__main__":
    sys.exit(main())

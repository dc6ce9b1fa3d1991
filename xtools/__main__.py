"""English intermediate-task training for zero-shot cross-lingual transfer: the commands behind make's targets."""

import argparse
import contextlib
import json
import os
import sys
from pathlib import Path

from xtools import ROOT
from xtools.problems import Problem
from xtools.processes import SAME, stop_on_signals

APART = "make has the environment besides, where all of these run in .venv: make lab, test, lint, lock, clean; make alone lists them."
# What is heavy to import is imported by the command that needs it, so that a finished study answers at once.


def study(asked: argparse.Namespace) -> int:
    """run what is missing of a study, then its report"""
    from xtools.run import engine

    return engine.run(asked.profile, asked.cores, asked.engine, executor=asked.executor)


def timing(asked: argparse.Namespace) -> int:
    """run a study's timing alone: latency, throughput, FLOPs, memory, energy"""
    from xtools.run import engine

    return engine.run(asked.profile, asked.cores, asked.engine, phase="timing", executor=asked.executor)


def report(asked: argparse.Namespace) -> int:
    """rebuild the report from the records alone"""
    from xtools.run import engine

    return engine.report(asked.profile)


def plan(asked: argparse.Namespace) -> int:
    """show a study's cells, downloads, disk, FLOPs and hours, for this machine or --gpu <name>; --resolved: its parameters"""
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
    """download everything a study needs, to run it offline afterwards"""
    from xtools.run import fetch
    from xtools.study import load

    return fetch.run(load(asked.profile))


def site(asked: argparse.Namespace) -> int:
    """an index page of a study's report and every executed notebook, to read offline"""
    from xtools.report import pages
    from xtools.study import load

    print(f"index: {pages.site(load(asked.profile)).relative_to(ROOT)}")
    return 0


def reference(asked: argparse.Namespace) -> int:
    """keep a study's timing in results/, for reports made on other machines to show beside their own"""
    from xtools.report import costs
    from xtools.study import load

    print(costs.keep_reference(load(asked.profile)))
    return 0


def keep(asked: argparse.Namespace) -> int:
    """keep a finished study's records, scores and report in results/, from which make report makes it again anywhere"""
    from xtools.run import keep
    from xtools.study import load

    print(keep.keep(load(asked.profile, needs_data=False)))
    return 0


def submission(asked: argparse.Namespace) -> int:
    """write a study's predictions in XTREME's layout, and Tatoeba and BUCC as MTEB's results"""
    from xtools.report import submission
    from xtools.study import load

    files = submission.write(load(asked.profile))
    print(f"{len(files)} files in runs/{asked.profile}/submission")
    return 0


def backbones(asked: argparse.Namespace) -> int:
    """make the published backbones again where they are missing or outdated"""
    from xtools.backbones import publish_all
    from xtools.study import load

    publish_all(load(asked.profile), asked.cores or len(os.sched_getaffinity(0)))
    return 0


def calibrate(asked: argparse.Namespace) -> int:
    """sweep the microworld's task sizes and print the table"""
    from xtools.run import calibration
    from xtools.study import load

    calibration.run(load(asked.profile), asked.cores or len(os.sched_getaffinity(0)))
    return 0


def components(asked: argparse.Namespace) -> int:
    """tell a gain's noise of pretraining from that of fine-tuning, from a study's records: results/components.csv"""
    from xtools.report import components
    from xtools.study import load

    print(components.keep(load(asked.profile)).round(2).to_string(index=False))
    return 0


def statistics(asked: argparse.Namespace) -> int:
    """hold the report's tests against simulated studies with known effects: results/statistics.csv"""
    from xtools.run import planting

    planting.run()
    return 0


def prune(asked: argparse.Namespace) -> int:
    """remove the cells in runs/ that no study has any more, such as those of parameters of before"""
    from xtools.run.plan import prune

    cells, size = prune()
    print(f"removed {cells} cells, {size / 1e6:,.0f} MB")
    return 0


def verify(asked: argparse.Namespace) -> int:
    """run --cells 3 of a finished study's cells again (--seed 0 draws them) and tell what differs from their records"""
    from xtools.run import verify

    return verify.run(asked.profile, asked.cells, asked.seed)


def compare(asked: argparse.Namespace) -> int:
    """by how much the scores of two studies, or folders of records, differ: <study or folder> <study or folder>"""
    from xtools.report import compare

    table, page = compare.page(asked.a, asked.b)
    print(f"{table}\npage: {page.relative_to(ROOT)}")
    return 0


def score(asked: argparse.Namespace) -> int:
    """score <folder> against <folder>, both in XTREME's layout (--benchmark xtreme or xtreme_r)"""
    from xtools.report import submission

    found = submission.score(asked.predictions, asked.labels, asked.benchmark)
    print(json.dumps(found, indent=1) if asked.json else submission.table(found))
    return 0


def bench(asked: argparse.Namespace) -> int:
    """measure training, inference, cells and search against the Hugging Face Trainer, papermill and the product"""
    from xtools.run import bench

    return bench.main(asked.words)


def gpu(asked: argparse.Namespace) -> int:
    """measure this machine's GPU in eight minutes: agreement, speed, memory, latency; with torch, transformers and safetensors alone"""
    from xtools.run import gpu

    return gpu.main(asked.words)


def torture(asked: argparse.Namespace) -> int:
    """kill processes of a small study at random, --rounds 50 times, and see that nothing is lost (--seed 0)"""
    from xtools.run import torture

    return torture.main(asked.words)


OF_A_STUDY = (study, timing, report, plan, fetch, site, reference, keep, submission, verify, backbones, calibrate, components)
OF_THEIR_OWN = (bench, gpu, torture)  # which read their own options


def parser() -> argparse.ArgumentParser:
    """The commands with their options; a command's help is its function's docstring, which says what the Makefile says of its target."""
    words = argparse.ArgumentParser(prog="python -m xtools", description=__doc__, epilog=APART)
    commands = words.add_subparsers(dest="command", required=True)
    for run in (*OF_A_STUDY, statistics, prune, compare, score, *OF_THEIR_OWN):
        own = run in OF_THEIR_OWN
        command = commands.add_parser(run.__name__, help=run.__doc__, description=run.__doc__, add_help=not own)
        command.set_defaults(run=run)
        if run in OF_A_STUDY:
            command.add_argument("profile", nargs="?", default="pocket", metavar="STUDY", help="a file in params/ (default: pocket)")
            command.add_argument(
                "--cores", type=positive, metavar="N", help="cells at a time (default: all cores, or one per GPU), or jobs"
            )
            command.add_argument("--engine", default="", metavar="WORDS", help="further words for Snakemake, such as '--rerun-incomplete'")
            command.add_argument(
                "--executor", default="", metavar="NAME", help="run cells as jobs, by profiles/<executor>/config.yaml; slurm is one"
            )
        if run is plan:
            command.add_argument("--gpu", metavar="NAME", help="estimate hours for this GPU instead of this machine")
            command.add_argument("--resolved", action="store_true", help="print all parameters instead, defaults filled in")
        if run is verify:
            command.add_argument("--cells", type=positive, default=3, metavar="N", help="how many cells (default: 3)")
            command.add_argument("--seed", type=int, default=0, metavar="N", help="draws them (default: 0)")
        if run is compare:
            command.add_argument(
                "a", help="a study that was run, or a folder of records: runs/<study> of another checkout, results/<study>"
            )
            command.add_argument("b", help="another")
        if run is score:
            command.add_argument("predictions", type=Path, help="a folder with <task>/test-<language>.<tsv|json|jsonl>")
            command.add_argument("labels", type=Path, help="one with the right answers, laid out alike")
            command.add_argument("--benchmark", choices=("xtreme", "xtreme_r"), default="xtreme", help="(default: xtreme)")
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
    reader = parser()
    asked, others = reader.parse_known_args(words)
    if others and asked.run not in OF_THEIR_OWN:
        reader.error(f"unrecognized arguments: {' '.join(others)}")
    asked.words = others
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
    if lacking := {name: value for name, value in SAME.items() if name not in os.environ}:  # Python reads its seed of hashes as it starts
        os.execve(sys.executable, sys.orig_argv, os.environ | lacking)
    sys.exit(main())

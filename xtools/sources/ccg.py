"""CCG supertags from a folder: jiant's layout (one file a split, and tags_to_id.json), or CCGbank's own .auto files.

CCGbank (LDC2005T13) is licensed and no hub serves it, so the study names the folder: `ccg: <folder>`.
"""

import json
import re
from pathlib import Path

from xtools.problems import Problem

LAYOUTS = "train.tsv, val.tsv and tags_to_id.json (jiant's layout), or CCGbank's .auto files"
SECTIONS = {"train": range(2, 22), "val": range(0, 1), "test": range(23, 24)}  # of CCGbank, as everyone splits it
LEAF = re.compile(r"<L (\S+) \S+ \S+ (\S+) \S+>")


def folder(source) -> Path:
    """The folder that the study names.

    Raises Problem when it names none, or one that is not there.
    """
    if not source.ccg:
        raise Problem(f"ccg: CCGbank is licensed and on no hub; set `ccg:` in the study to a folder with {LAYOUTS}")
    if not Path(source.ccg).is_dir():
        raise Problem(f"ccg: {source.ccg}: no such folder; it must hold {LAYOUTS}")
    return Path(source.ccg)


def labels(source) -> tuple[str, ...]:
    """The names of the supertags, in the order of their ids; of .auto files, those of the training sections.

    Raises Problem when the folder's tag file is missing.
    """
    root = folder(source)
    if (root / "tags_to_id.json").exists():
        ids = json.loads((root / "tags_to_id.json").read_text())
        return tuple(sorted(ids, key=ids.get))
    if not _auto_files(root, "train"):
        raise Problem(f"ccg: {root / 'tags_to_id.json'}: not there; the folder must hold {LAYOUTS}")
    return tuple(sorted({tag for row in rows(source, "train") for tag in row["tags"]}))


def rows(source, split: str) -> list[dict]:
    """Sentences of a split (train, val, test) as {id, words, tags}.

    Raises Problem when the split's file is missing or a line has not as many tags as words.
    """
    root = folder(source)
    files = _auto_files(root, split)
    if files:
        sentences = [LEAF.findall(line) for path in files for line in path.read_text().splitlines() if line.startswith("(")]
        return [{"id": str(i), "words": [w for _, w in leaves], "tags": [t for t, _ in leaves]} for i, leaves in enumerate(sentences)]
    path = root / f"{split}.tsv"
    if not path.exists():
        raise Problem(f"ccg: {path}: not there; the folder must hold {LAYOUTS}")
    if not (root / "tags_to_id.json").exists():
        raise Problem(f"ccg: {root / 'tags_to_id.json'}: not there; the folder must hold {LAYOUTS}")
    tagged = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words, _, tags = line.partition("\t")
        if len(words.split()) != len(tags.split()):
            raise Problem(f"ccg: {path}, line {number}: {len(words.split())} words but {len(tags.split())} tags")
        tagged.append({"id": str(number), "words": words.split(), "tags": tags.split()})
    return tagged


def _auto_files(root: Path, split: str) -> list[Path]:
    """CCGbank's files of a split: wsj_SSNN.auto, SS the section, anywhere below the folder."""
    return [path for path in sorted(root.rglob("wsj_*.auto")) if int(path.stem[4:6]) in SECTIONS[split]]

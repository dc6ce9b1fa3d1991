"""Tagging of words: seqeval F1 for entities, and, as XTREME computes it, for parts of speech."""

import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from xtools.batching import moved, pad
from xtools.tasks import treebanks
from xtools.tasks.classification import dropout
from xtools.tasks.entry import Hub, Task, named
from xtools.tasks.files import lines

COLUMNS = {"ids": list[list[int]], "row": int, "targets": list[int], "cut": bool}
LOSS_IS_MEAN = True  # over words (`weight`)
IGNORE = -100  # a position without a label
UNKNOWN = -1  # a word whose gold tag is none of the task's labels: not trained on, and always wrong


def encode(rows: list[dict], tokenizer, task: Task, max_length: int) -> list[dict]:
    """Pieces of at most `max_length` tokens, cut between words; the label stands on a word's first sub-word.

    No word is lost: one that the tokenizer turns into nothing becomes <unk>; one longer than a piece keeps its first sub-words.
    """
    index = {label: i for i, label in enumerate(task.labels)}
    room = max_length - 2
    encoded = tokenizer(
        [row["words"] for row in rows], is_split_into_words=True, add_special_tokens=False, return_attention_mask=False, verbose=False
    )
    features = []
    for i, row in enumerate(rows):
        words: list[list[int]] = [[] for _ in row["words"]]
        for token, word in zip(encoded["input_ids"][i], encoded.word_ids(i), strict=True):
            words[word].append(token)
        piece: list[int] = []
        targets: list[int] = []
        for tokens, tag in zip(words, row["tags"], strict=True):
            tokens = tokens[:room] or [tokenizer.unk_token_id]
            if len(piece) + len(tokens) > room:
                features.append(_piece(tokenizer, i, piece, targets))
                piece, targets = [], []
            piece = piece + tokens
            targets = targets + [index.get(tag, UNKNOWN)] + [IGNORE] * (len(tokens) - 1)
        features.append(_piece(tokenizer, i, piece, targets))
    return features


def _piece(tokenizer, row: int, tokens: list[int], targets: list[int]) -> dict:
    ids = [tokenizer.cls_token_id, *tokens, tokenizer.sep_token_id]
    return {"ids": [ids], "row": row, "targets": [IGNORE, *targets, IGNORE], "cut": False}


class Head(torch.nn.Module):
    """A linear layer on every token."""

    def __init__(self, config, task: Task):
        super().__init__()
        self.dropout = torch.nn.Dropout(dropout(config))
        self.out = torch.nn.Linear(config.hidden_size, len(task.labels))

    def forward(self, hidden: torch.Tensor, batch: dict) -> torch.Tensor:
        """Hidden states [sequences, tokens, hidden] to logits [sequences, tokens, labels]."""
        return self.out(self.dropout(hidden))


def _targets(batch: dict) -> torch.Tensor:
    return pad([f["targets"] for f in batch["features"]], IGNORE)


def loss(logits: torch.Tensor, batch: dict) -> torch.Tensor:
    targets = moved(_targets(batch), logits.device)
    known = targets.masked_fill(targets == UNKNOWN, IGNORE)
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), known.flatten(), ignore_index=IGNORE)


def weight(feature: dict) -> int:
    """How many words of a piece are trained on."""
    return sum(target >= 0 for target in feature["targets"])


def decode(logits: torch.Tensor, batch: dict, task: Task) -> list[list[int]]:
    """The label ids of each piece's words."""
    best, first = logits.argmax(-1).cpu(), _targets(batch) != IGNORE
    return [row[mask].tolist() for row, mask in zip(best, first, strict=True)]


def assemble(features: list[dict], parts: list[list[int]], rows: list[dict]) -> list[list[list[int]]]:
    """The pieces of each row, in order."""
    whole: list[list[list[int]]] = [[] for _ in rows]
    for feature, part in zip(features, parts, strict=True):
        whole[feature["row"]].append(part)
    return whole


def joined(pieces: list[list]) -> list:
    """A row's pieces as one sequence."""
    return [item for piece in pieces for item in piece]


def score(predictions: list[list[list[int]]], rows: list[dict], task: Task, language: str) -> dict[str, float]:
    """seqeval's micro F1, in percent, over pieces: a sentence that had to be split counts as several sequences, as in XTREME.

    XTREME scores parts of speech with the same function, which merges runs of equal tags into one chunk, so that figure is not token
    accuracy; token accuracy stands beside it under its own name.
    """
    predicted, gold = [], []
    for pieces, row in zip(predictions, rows, strict=True):
        start = 0
        for piece in pieces:
            predicted.append([task.labels[p] for p in piece])
            gold.append(list(row["tags"][start : start + len(piece)]))
            start += len(piece)
    return {"f1": chunk_f1(gold, predicted), "accuracy": accuracy(gold, predicted)}


def chunk_f1(gold: list[list[str]], predicted: list[list[str]]) -> float:
    """seqeval's micro F1 of tag sequences, in percent."""
    from seqeval.metrics import f1_score  # all of scikit-learn comes with it, which `make plan` need not wait for

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seqeval warns that part-of-speech tags are not entity tags
        return 100 * float(f1_score(gold, predicted))


def accuracy(gold: list[list[str]], predicted: list[list[str]]) -> float:
    """Share of tokens with the right tag, in percent."""
    right = sum(p == g for ps, gs in zip(predicted, gold, strict=True) for p, g in zip(ps, gs, strict=True))
    return 100 * right / sum(map(len, gold))


# ---------------------------------------------------------------- for people and files


SEQUENCES = 1


def gold_text(row: dict, task: Task) -> str:
    return " ".join(row["tags"])


def prediction_text(prediction: list[list[int]], row: dict, task: Task) -> str:
    return " ".join(task.labels[tag] for tag in joined(prediction))


def extension(task: Task) -> str:
    return "tsv"


def file_text(pairs: list, task: Task, language: str, rows: Callable[[], list[dict]]) -> str:
    """A tag a line, sequences parted by empty lines; a sentence that was split counts as several, as in XTREME."""
    pieces = [piece for _, row in pairs for piece in row]
    return "\n".join("".join(f"{task.labels[tag]}\n" for tag in piece) for piece in pieces)


def score_files(predicted: Path, gold: Path, task: Task, language: str) -> dict[str, float]:
    """As `score`. Raises ValueError for sequences of other lengths."""
    p, g = _sequences(predicted), _sequences(gold)
    if [*map(len, p)] != [*map(len, g)]:
        raise ValueError(f"{len(p)} sequences of {sum(map(len, p))} tags for {len(g)} of {sum(map(len, g))}")
    return {"f1": chunk_f1(g, p), "accuracy": accuracy(g, p)}


def _sequences(path: Path) -> list[list[str]]:
    """Tags, one a line, sequences parted by empty lines."""
    sequences: list[list[str]] = [[]]
    for line in lines(path):
        if line:
            sequences[-1].append(line)
        else:
            sequences.append([])
    return sequences if sequences[-1] else sequences[:-1]


# ---------------------------------------------------------------- tasks


UPOS = tuple("ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split())
BIO = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
PANX_XTREME = tuple(
    "en af ar bg bn de el es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr ms my nl pt ru sw ta te th tl tr ur vi yo zh".split()
)
PANX_XTREME_R = ("qu", "pl", "uk", "az", "lt", "pa", "gu", "ro")
PANX_ROWS = dict.fromkeys((*PANX_XTREME, *PANX_XTREME_R), 10_000)
PANX_ROWS |= dict.fromkeys("af bn hi kk ml mr ms sw ta te tl ur az".split(), 1_000) | dict.fromkeys("jv my yo qu pa gu".split(), 100)


def _panx(row: dict) -> dict | None:
    return {"words": row["tokens"], "tags": named(BIO, row["ner_tags"])} if row["tokens"] != [] else None


def _panx_parts(split: str) -> tuple[Hub, Hub]:
    return (
        Hub("google/xtreme", "PAN-X.{lang}", split, _panx, rows=PANX_ROWS, only=PANX_XTREME),
        Hub("unimelb-nlp/wikiann", "{lang}", split, _panx, rows=PANX_ROWS, only=PANX_XTREME_R),
    )


def _supertags(row: dict) -> dict | None:
    return {"words": row["words"], "tags": row["tags"]} if row["words"] else None


TASKS = [
    Task(
        "ccg",
        "tagging",
        "accuracy",
        "supertags",
        # CCGbank (LDC2005T13) is licensed: it is read from the folder that the study's `ccg` names, and its files say the labels.
        {
            "train": Hub("ccg", "ccg", "train", _supertags, reader="ccg"),
            "dev": Hub("ccg", "ccg", "val", _supertags, reader="ccg"),
        },
    ),
    Task(
        "udpos",
        "tagging",
        "f1",
        "pos",
        {
            "train": treebanks.parts("train"),
            "dev": treebanks.parts("dev"),
            "test": treebanks.parts("test"),
        },
        labels=UPOS,
        languages=treebanks.LANGUAGES,
    ),
    Task(
        "panx",
        "tagging",
        "f1",
        "ner",
        {
            "train": Hub("google/xtreme", "PAN-X.en", "train", _panx, rows=20_000),
            "dev": _panx_parts("validation"),
            "test": _panx_parts("test"),
        },
        labels=BIO,
        languages=(*PANX_XTREME, *PANX_XTREME_R),
    ),
]

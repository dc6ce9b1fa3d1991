"""Tagging of words: seqeval F1 for entities, and, as XTREME computes it, for parts of speech."""

import warnings

import torch
from seqeval.metrics import f1_score

from xtools.batching import pad
from xtools.tasks import Hub, Task

IGNORE = -100


def encode(rows: list[dict], tokenizer, task: Task, max_length: int) -> list[dict]:
    """Pieces of at most `max_length` tokens, cut between words; the label stands on a word's first sub-word.

    No word is lost: one that the tokenizer turns into nothing becomes <unk>; one longer than a piece keeps its first sub-words.
    """
    index = {label: i for i, label in enumerate(task.labels)}
    room = max_length - 2
    encoded = tokenizer([row["words"] for row in rows], is_split_into_words=True, add_special_tokens=False, return_attention_mask=False)
    features = []
    for i, row in enumerate(rows):
        words = [[] for _ in row["words"]]
        for token, word in zip(encoded["input_ids"][i], encoded.word_ids(i), strict=True):
            words[word].append(token)
        piece, targets = [], []
        for tokens, tag in zip(words, row["tags"], strict=True):
            tokens = tokens[:room] or [tokenizer.unk_token_id]
            if len(piece) + len(tokens) > room:
                features.append(_piece(tokenizer, i, piece, targets))
                piece, targets = [], []
            piece = piece + tokens
            targets = targets + [index[tag]] + [IGNORE] * (len(tokens) - 1)
        features.append(_piece(tokenizer, i, piece, targets))
    return features


def _piece(tokenizer, row: int, tokens: list[int], targets: list[int]) -> dict:
    ids = [tokenizer.cls_token_id, *tokens, tokenizer.sep_token_id]
    return {"ids": [ids], "row": row, "targets": [IGNORE, *targets, IGNORE], "cut": False}


class Head(torch.nn.Module):
    """A linear layer on every token."""

    def __init__(self, config, task: Task):
        super().__init__()
        self.dropout = torch.nn.Dropout(config.hidden_dropout_prob)
        self.out = torch.nn.Linear(config.hidden_size, len(task.labels))

    def forward(self, hidden: torch.Tensor, batch: dict) -> torch.Tensor:
        """Hidden states [sequences, tokens, hidden] to logits [sequences, tokens, labels]."""
        return self.out(self.dropout(hidden))


def _targets(batch: dict) -> torch.Tensor:
    return pad([f["targets"] for f in batch["features"]], IGNORE)


def loss(logits: torch.Tensor, batch: dict) -> torch.Tensor:
    targets = _targets(batch).to(logits.device)
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE)


def decode(logits: torch.Tensor, batch: dict) -> list[list[int]]:
    """The label ids of each piece's words."""
    best, first = logits.argmax(-1).cpu(), _targets(batch) != IGNORE
    return [row[mask].tolist() for row, mask in zip(best, first, strict=True)]


def assemble(features: list[dict], parts: list[list[int]], rows: list[dict]) -> list[list[int]]:
    """The pieces of each row joined again."""
    whole = [[] for _ in rows]
    for feature, part in zip(features, parts, strict=True):
        whole[feature["row"]] += part
    return whole


def score(predictions: list[list[int]], rows: list[dict], task: Task) -> dict[str, float]:
    """seqeval's micro F1, in percent.

    XTREME scores parts of speech with the same function, which merges runs of equal tags into one chunk, so that figure is not token
    accuracy; token accuracy stands beside it under its own name.
    """
    predicted = [[task.labels[p] for p in row] for row in predictions]
    gold = [row["tags"] for row in rows]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seqeval warns that part-of-speech tags are not entity tags
        f1 = f1_score(gold, predicted)
    right = sum(p == g for ps, gs in zip(predicted, gold, strict=True) for p, g in zip(ps, gs, strict=True))
    return {"f1": 100 * float(f1), "accuracy": 100 * right / sum(map(len, gold))}


UPOS = tuple("ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split())
BIO = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
UD_NAMES = dict(
    af="Afrikaans", ar="Arabic", bg="Bulgarian", de="German", el="Greek", en="English", es="Spanish", et="Estonian", eu="Basque",
    fa="Persian", fi="Finnish", fr="French", he="Hebrew", hi="Hindi", hu="Hungarian", id="Indonesian", it="Italian", ja="Japanese",
    kk="Kazakh", ko="Korean", mr="Marathi", nl="Dutch", pt="Portuguese", ru="Russian", ta="Tamil", te="Telugu", th="Thai", tl="Tagalog",
    tr="Turkish", ur="Urdu", vi="Vietnamese", yo="Yoruba", zh="Chinese",
)  # fmt: skip
PANX_LANGUAGES = tuple(
    "en af ar bg bn de el es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr ms my nl pt ru sw ta te th tl tr ur vi yo zh".split()
)


def _udpos(row: dict) -> dict | None:
    return {"words": row["tokens"], "tags": [UPOS[t] for t in row["pos_tags"]]} if row["tokens"] else None


def _panx(row: dict) -> dict | None:
    return {"words": row["tokens"], "tags": [BIO[t] for t in row["ner_tags"]]} if row["tokens"] else None


TASKS = [
    Task(
        "udpos",
        "tagging",
        "f1",
        "pos",
        {
            "train": Hub("google/xtreme", "udpos.English", "train", _udpos),
            "dev": Hub("google/xtreme", "udpos.{lang}", "validation", _udpos, UD_NAMES),
            "test": Hub("google/xtreme", "udpos.{lang}", "test", _udpos, UD_NAMES),
        },
        labels=UPOS,
        languages=tuple(UD_NAMES),
    ),
    Task(
        "panx",
        "tagging",
        "f1",
        "ner",
        {
            "train": Hub("google/xtreme", "PAN-X.en", "train", _panx),
            "dev": Hub("google/xtreme", "PAN-X.{lang}", "validation", _panx),
            "test": Hub("google/xtreme", "PAN-X.{lang}", "test", _panx),
        },
        labels=BIO,
        languages=PANX_LANGUAGES,
    ),
]

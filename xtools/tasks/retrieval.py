"""Sentence retrieval without training: nearest neighbour between pooled hidden states; accuracy."""

import faiss
import numpy as np

from xtools.tasks import Hub, Task


def encode(rows: list[dict], tokenizer, task: Task, max_length: int, column: str) -> list[dict]:
    """One sequence per row from `column` (text or source_text); one longer than `max_length` is cut and marked so."""
    encoded = tokenizer([row[column] for row in rows], return_attention_mask=False)["input_ids"]
    end = encoded[0][-1]
    return [
        {"ids": [ids if len(ids) <= max_length else [*ids[: max_length - 1], end]], "row": i, "cut": len(ids) > max_length}
        for i, ids in enumerate(encoded)
    ]


def nearest(queries: np.ndarray, index: np.ndarray) -> np.ndarray:
    """For each query [n, dim] the row of `index` [m, dim] with the largest cosine."""
    queries, index = (np.ascontiguousarray(x, dtype=np.float32).copy() for x in (queries, index))
    faiss.normalize_L2(queries)
    faiss.normalize_L2(index)
    flat = faiss.IndexFlatIP(index.shape[1])
    flat.add(index)
    return flat.search(queries, 1)[1][:, 0]


def score(predictions: list[int], rows: list[dict], task: Task) -> dict[str, float]:
    """Accuracy in percent: XTREME asks with the English sentences and searches among the foreign ones."""
    return {"accuracy": 100 * sum(int(p) == i for i, p in enumerate(predictions)) / len(rows)}


TATOEBA_NAMES = dict(
    af="afr", ar="ara", bg="bul", bn="ben", de="deu", el="ell", es="spa", et="est", eu="eus", fa="pes", fi="fin", fr="fra", he="heb",
    hi="hin", hu="hun", id="ind", it="ita", ja="jpn", jv="jav", ka="kat", kk="kaz", ko="kor", ml="mal", mr="mar", nl="nld", pt="por",
    ru="rus", sw="swh", ta="tam", te="tel", th="tha", tl="tgl", tr="tur", ur="urd", vi="vie", zh="cmn",
)  # fmt: skip


def _tatoeba(row: dict) -> dict:
    """The Hub's sentences keep the newline that ended them in the original files."""
    return {"text": row["source_sentence"].strip(), "source_text": row["target_sentence"].strip()}


TASKS = [
    Task(
        "tatoeba",
        "retrieval",
        "accuracy",
        "pairs",
        {"test": Hub("google/xtreme", "tatoeba.{lang}", "validation", _tatoeba, TATOEBA_NAMES)},
        languages=tuple(TATOEBA_NAMES),
    )
]
